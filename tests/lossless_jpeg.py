"""A lossless JPEG encoder for the tests, from ITU-T T.81 annex H: process 14, predictor 1, one plain Huffman table."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

_LENGTH = 5
"""Bits of every code: 17 classes of differences, of which none may be all ones."""


def encode(values: NDArray[np.integer], bits: int) -> bytes:
    """The codestream of ``values`` (row, column), of which the lowest ``bits`` are stored."""
    samples = np.asarray(values, np.int64) & ((1 << bits) - 1)
    rows, columns = samples.shape
    predicted = np.empty_like(samples)
    predicted[:, 1:] = samples[:, :-1]
    predicted[1:, 0] = samples[:-1, 0]
    predicted[0, 0] = 1 << (bits - 1)
    differences = (samples - predicted + 32767) % 65536 - 32767  # modulo 2^16, within -32767..32768
    table = bytes([0x00, *(17 if n == _LENGTH else 0 for n in range(1, 17)), *range(17)])
    return b"".join([
        b"\xff\xd8",
        _segment(0xC3, struct.pack(">BHHBBBB", bits, rows, columns, 1, 1, 0x11, 0)),
        _segment(0xC4, table),
        _segment(0xDA, bytes([1, 1, 0, 1, 0, 0])),
        _packed(differences.ravel().tolist()),
        b"\xff\xd9",
    ])


def _segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def _packed(differences: list[int]) -> bytes:
    words = []
    for difference in differences:
        kind = abs(difference).bit_length()
        words.append(f"{kind:0{_LENGTH}b}")
        if 0 < kind < 16:  # of class 16 there is one alone, 32768
            words.append(f"{difference if difference > 0 else difference + (1 << kind) - 1:0{kind}b}")
    stream = "".join(words)
    stream += "1" * (-len(stream) % 8)
    return int(stream, 2).to_bytes(len(stream) // 8).replace(b"\xff", b"\xff\x00")
