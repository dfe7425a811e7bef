#!/bin/sh
# Start SeaweedFS with its S3 gateway, one identity from the environment, and the bucket that Eigengate uses.
set -eu
cat > /tmp/s3.json <<EOF
{"identities": [{"name": "eigengate",
  "credentials": [{"accessKey": "$STORE_ACCESS_KEY", "secretKey": "$STORE_SECRET_KEY"}],
  "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
EOF
(
  until echo "s3.bucket.list" | weed shell -master=127.0.0.1:9333 >/dev/null 2>&1; do sleep 1; done
  echo "s3.bucket.create -name eigengate" | weed shell -master=127.0.0.1:9333 || true
  touch /tmp/bucket-ready
) &
exec weed server -dir=/blobs -s3 -s3.port=8333 -s3.config=/tmp/s3.json -ip.bind=0.0.0.0
