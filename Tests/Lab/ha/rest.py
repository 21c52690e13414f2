"""One request to ceph-iscsi's REST server: rest.py PATH [-X METHOD] [-d NAME=VALUE]…; status 1 unless it answers 200."""

import argparse
import base64
import sys
import urllib.error
import urllib.parse
import urllib.request

parser = argparse.ArgumentParser()
parser.add_argument("path")
parser.add_argument("-X", dest="method", default="GET")
parser.add_argument("-d", dest="fields", action="append", default=[])
options = parser.parse_args()

fields = urllib.parse.urlencode([tuple(field.split("=", 1)) for field in options.fields])
request = urllib.request.Request(
    f"http://localhost:5000/api/{options.path}", method=options.method, data=fields.encode() if fields else None,
    headers={"Authorization": "Basic " + base64.b64encode(b"admin:admin").decode()})
try:
    with urllib.request.urlopen(request, timeout=120) as answer:
        print(answer.read().decode())
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode())
    sys.exit(1)
except OSError as error:
    print(error)
    sys.exit(1)
