"""Sends files to a voxtrait server: python examples/client.py [--server URL] [--token-file FILE] FILE…

Uses only Python's standard library. Prints one line of JSON per file; exit status 1 if some were refused. If the server
is busy, waits as long as the response requests, and tries again.
"""

import argparse
import json
import secrets
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

TRIES = 8


def main() -> int:
    """Read the arguments, send each file, and print the responses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--server", default="http://127.0.0.1:8000")
    parser.add_argument("--token-file", type=Path)
    asked = parser.parse_args()
    token = asked.token_file.read_text().split()[0] if asked.token_file else None
    refused = 0
    for file in asked.files:
        answer = predict(asked.server, file, token)
        refused += "error" in answer
        print(json.dumps(answer if "error" not in answer else {"path": file.name, **answer}, ensure_ascii=False))
    return 1 if refused else 0


def predict(server: str, file: Path, token: str | None = None) -> dict[str, object]:
    """Return the prediction for a file, or ``{"error": {"code", "message"}}``."""
    boundary = secrets.token_hex(16)
    name = file.name.replace("\\", "\\\\").replace('"', '\\"')
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    body = head.encode() + file.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    for tried in range(1, TRIES + 1):
        try:
            request = urllib.request.Request(f"{server.rstrip('/')}/v1/predict", body, headers)
            with urllib.request.urlopen(request, timeout=180) as response:
                return dict(json.load(response))
        except urllib.error.HTTPError as error:
            if error.code not in (429, 503) or tried == TRIES:
                return dict(json.load(error))
            time.sleep(float(error.headers.get("Retry-After", 1)))
    raise AssertionError("every try either returns or waits")


if __name__ == "__main__":
    sys.exit(main())
