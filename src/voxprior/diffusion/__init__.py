"""The walk from noise to image: denoisers, processes, schedules and the one sampling loop."""
