"""Signs and sends requests with botocore, boto3 and the AWS CLI: `clients.py http://127.0.0.1:PORT`.

Prints a line a request: name, status, and the status of the same request with one byte changed (`-` where the client
does not let us change one).
"""

import http.client
import os
import subprocess
import sys
from urllib.parse import urlsplit

import boto3
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

BASE = sys.argv[1]
KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SCOPE = ("execute-api", "us-east-1")
CASES = [
    ("get", "GET", "/prod/pets", b""),
    ("post", "POST", "/prod/pets", b'{"name":"rex"}'),
    ("space", "GET", "/prod/a%20b/c", b""),
    ("slash", "GET", "/prod/a%2Fb", b""),
    ("connection", "POST", "/prod/@connections/abc=", b"hello"),
    ("plus", "GET", "/prod/pets?q=a%2Bb", b""),
    ("unicode", "GET", "/prod/%E1%88%B4?q=%ED%95%9C", b""),
    ("parameters", "GET", "/prod/pets?x=&b=2&a=2&a=1&a=10", b""),
]


def send(method, url, headers, body):
    parts = urlsplit(url)
    target = parts.path + ("?" + parts.query if parts.query else "")
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", parts.netloc)
    for name, value in headers.items():
        connection.putheader(name, value)
    if body or method == "POST":
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    return connection.getresponse().status


def altered(url, body):
    if body:
        return url, bytes([body[0] ^ 1]) + body[1:]
    parts = urlsplit(url)
    return url.replace(parts.path, parts.path + "x", 1), body


def report(name, method, url, headers, body):
    bad_url, bad_body = altered(url, body)
    statuses = send(method, url, headers, body), send(method, bad_url, headers, bad_body)
    print(name, *statuses, flush=True)


def botocore_cases(secret, prefix):
    credentials = Credentials(KEY, secret)
    for name, method, target, body in CASES:
        request = AWSRequest(method=method, url=BASE + target, data=body)
        SigV4Auth(credentials, *SCOPE).add_auth(request)
        report(f"{prefix}-{name}", method, request.url, dict(request.headers.items()), body)
        if not body:
            request = AWSRequest(method=method, url=BASE + target)
            SigV4QueryAuth(credentials, *SCOPE, expires=300).add_auth(request)
            report(f"{prefix}-presigned-{name}", method, request.url, {}, body)


def boto3_cases():
    client = boto3.client(
        "apigatewaymanagementapi",
        endpoint_url=BASE + "/prod",
        region_name="us-east-1",
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
    )
    calls = [
        ("post", lambda: client.post_to_connection(ConnectionId="abc=", Data=b"hello")),
        ("get", lambda: client.get_connection(ConnectionId="abc=")),
        ("delete", lambda: client.delete_connection(ConnectionId="abc=")),
    ]
    for name, call in calls:
        try:
            status = call()["ResponseMetadata"]["HTTPStatusCode"]
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        print(f"boto3-{name}", status, "-", flush=True)


def cli_case():
    environment = dict(
        os.environ, AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET, AWS_DEFAULT_REGION="us-east-1"
    )
    arguments = ["post-to-connection", "--connection-id", "abc=", "--data", "aGVsbG8=", "--endpoint-url", BASE + "/prod"]
    done = subprocess.run(
        [sys.executable, "-m", "awscli", "apigatewaymanagementapi", *arguments],
        env=environment,
        capture_output=True,
        text=True,
    )
    print("aws-cli-post", 200 if done.returncode == 0 else done.stderr.split()[:12], "-", flush=True)


botocore_cases(SECRET, "botocore")
boto3_cases()
cli_case()
botocore_cases("another secret", "wrong-secret")
