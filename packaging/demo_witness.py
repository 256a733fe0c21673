#!/usr/bin/env python3
"""What packaging/demo does with boto3, that is from outside the mounts: fill a bucket and a parameter tree, look at them.

Usage: demo_witness.py fill|objects|parameters|put KEY TEXT      (the endpoint is in AWS_ENDPOINT_URL)
"""
import stat
import sys

import boto3

BUCKET = "demo"
TREE = "/demo/app"

OBJECTS = {
    "welcome.txt": b"Hello from an S3 bucket.\nThis file is the object s3://demo/welcome.txt, nothing more.\n",
    "reports/2026/january.csv": b"day,visitors\n1,120\n2,98\n3,143\n",
    "reports/2026/february.csv": b"day,visitors\n1,131\n2,127\n",
    "reports/draft.md": b"# Visitors\n\nThis is a draft.\n",
}

PARAMETERS = [
    ("db/host", "db.internal.example", "String"),
    ("db/user", "app", "String"),
    ("db/password", "correct horse battery staple", "SecureString"),
    ("features", "search,export,dark-mode", "StringList"),
]


def fill():
    s3, ssm = boto3.client("s3"), boto3.client("ssm")
    s3.create_bucket(Bucket=BUCKET)
    for key, body in OBJECTS.items():
        s3.put_object(Bucket=BUCKET, Key=key, Body=body)
    for name, value, kind in PARAMETERS:
        ssm.put_parameter(Name="%s/%s" % (TREE, name), Value=value, Type=kind, Overwrite=True)
    print("%d objects in s3://%s, %d parameters below %s" % (len(OBJECTS), BUCKET, len(PARAMETERS), TREE))


def objects():
    s3 = boto3.client("s3")
    for item in s3.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        head = s3.head_object(Bucket=BUCKET, Key=item["Key"])
        mode = head["Metadata"].get("mode")
        print("%6d  %-10s  %s" % (item["Size"], stat.filemode(int(mode)) if mode else "-", item["Key"]))


def parameters():
    ssm = boto3.client("ssm")
    pages = ssm.get_paginator("get_parameters_by_path").paginate(Path=TREE, Recursive=True, WithDecryption=True)
    for found in sorted((p for page in pages for p in page["Parameters"]), key=lambda p: p["Name"]):
        value = "(secret)" if found["Type"] == "SecureString" else repr(found["Value"])
        print("%-12s  version %d  %s = %s" % (found["Type"], found["Version"], found["Name"], value))


def put(key, text):
    boto3.client("s3").put_object(Bucket=BUCKET, Key=key, Body=text.encode())
    print("put s3://%s/%s" % (BUCKET, key))


if __name__ == "__main__":
    {"fill": fill, "objects": objects, "parameters": parameters, "put": put}[sys.argv[1]](*sys.argv[2:])
