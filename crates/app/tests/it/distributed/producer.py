"""A producer that knows nothing of the platform: FOLDER BROKERS TOPIC.

Reads a JSON document a line: {"key", "other", "event"} or {"raw": hexadecimal}, and sends it; `other`
chooses the partitioner of librdkafka instead of Java's. The line "flush" waits until all before it
is acknowledged, and is answered with the number of records."""

import io
import json
import pathlib
import sys

import fastavro
from confluent_kafka import Producer

folder, brokers, topic = sys.argv[1:]
text = pathlib.Path(folder, "ActionEvent.avsc").read_text()
schema = fastavro.parse_schema(json.loads(text))
canonical = fastavro.schema.to_parsing_canonical_form(json.loads(text))
header = b"\xc3\x01" + bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))

settings = {"bootstrap.servers": brokers, "linger.ms": 5, "reconnect.backoff.max.ms": 1000}
java = Producer({**settings, "partitioner": "murmur2_random"})
own = Producer({**settings, "partitioner": "consistent_random"})
failed, sent = [], 0


def delivered(error, _):
    if error:
        failed.append(str(error))


for line in sys.stdin:
    if line.strip() == "flush":
        left = java.flush(300) + own.flush(300)
        if failed or left:
            sys.exit(f"not delivered: {left} left, {failed}")
        print(sent, flush=True)
        sent = 0
        continue
    record = json.loads(line)
    if "raw" in record:
        value, key = bytes.fromhex(record["raw"]), None
    else:
        value = io.BytesIO()
        value.write(header)
        fastavro.schemaless_writer(value, schema, record["event"])
        value, key = value.getvalue(), record["key"]
    producer = own if record.get("other") else java
    producer.produce(topic, key=key, value=value, on_delivery=delivered)
    producer.poll(0)
    sent += 1
