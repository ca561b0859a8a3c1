"""What ASTRA makes of the views in a .npz file, on the CPU; runs in an environment of its own, which has only ASTRA.

    python benchmarks/projector_astra.py IN.npz OUT.npz

IN holds image (row, column), sinogram (view, bin), angles (radians), pixel, width, and for a fan source and detector
(mm). OUT holds forward (view, bin), back (row, column), and the seconds of each of three runs of both.
"""

import sys
import time

import astra
import numpy as np

given = np.load(sys.argv[1])
image, sinogram, pixel = given["image"], given["sinogram"], float(given["pixel"])
rows, columns = image.shape
x, y = columns * pixel / 2, rows * pixel / 2
volume = astra.create_vol_geom(rows, columns, -x, x, -y, y)
width, angles = float(given["width"]), given["angles"]
if "source" in given:
    source, detector = float(given["source"]), float(given["detector"])
    scan = astra.create_proj_geom("fanflat", width, sinogram.shape[1], angles, source, detector - source)
    projector = astra.create_projector("strip_fanflat", scan, volume)
else:
    scan = astra.create_proj_geom("parallel", width, sinogram.shape[1], angles)
    projector = astra.create_projector("strip", scan, volume)

# Row 0 is at the top there, where y is largest; here y grows with the row.
image_id = astra.data2d.create("-vol", volume, image[::-1])
views_id = astra.data2d.create("-sino", scan, 0)
back_id = astra.data2d.create("-vol", volume, 0)
measured_id = astra.data2d.create("-sino", scan, sinogram)
forward = {**astra.astra_dict("FP"), "ProjectorId": projector, "ProjectionDataId": views_id, "VolumeDataId": image_id}
backward = {
    **astra.astra_dict("BP"),
    "ProjectorId": projector,
    "ProjectionDataId": measured_id,
    "ReconstructionDataId": back_id,
}
seconds = []
for settings in (forward, backward):
    algorithm = astra.algorithm.create(settings)
    times = []
    for _ in range(3):
        if settings is backward:
            astra.data2d.store(back_id, 0)
        begin = time.perf_counter()
        astra.algorithm.run(algorithm)
        times.append(time.perf_counter() - begin)
    seconds.append(times)
back = astra.data2d.get(back_id)[::-1]
np.savez(sys.argv[2], forward=astra.data2d.get(views_id), back=back, seconds=np.array(seconds))
