"""Consumes IncentiveEvents: FOLDER BROKERS TOPIC COUNT. Writes a line for each, in order."""

import io
import json
import pathlib
import sys
import time

import fastavro
from confluent_kafka import Consumer

folder, brokers, topic, count = sys.argv[1:]
text = pathlib.Path(folder, "IncentiveEvent.avsc").read_text()
schema = fastavro.parse_schema(json.loads(text))
canonical = fastavro.schema.to_parsing_canonical_form(json.loads(text))
fingerprint = bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))

consumer = Consumer({
    "bootstrap.servers": brokers,
    "group.id": f"python-{topic}",
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
})
consumer.subscribe([topic])
found, end = 0, time.monotonic() + 60
while found < int(count):
    if time.monotonic() > end:
        sys.exit(f"only {found} of {count} came")
    message = consumer.poll(1)
    if message is None or message.error():
        continue
    value = message.value()
    if value[:10] != b"\xc3\x01" + fingerprint:
        sys.exit(f"another frame: {value[:10]!r}")
    event = fastavro.schemaless_reader(io.BytesIO(value[10:]), schema, schema)
    place = dict(message.headers())["incent-place"].decode()
    print(message.key().decode(), event["incentiveId"], event["tenantId"], event["eventId"],
          event["rewardAmount"], event["type"], event["seq"], event["issuedAt"].isoformat(),
          place, sep="|", flush=True)
    found += 1
consumer.close()
