"""Uploads a file with tuspy: python tuspy_upload.py ENDPOINT FILE. Run with the peers' packages, not with ours."""

import sys

from tusclient.client import TusClient

CHUNK_BYTES = 8 << 20
"""It holds a chunk in memory; left out, that is the whole file."""

endpoint, path = sys.argv[1:]
TusClient(endpoint).uploader(path, chunk_size=CHUNK_BYTES, metadata={"filename": "source.bin"}).upload()
