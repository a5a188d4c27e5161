"""Produces ActionEvents: FOLDER BROKERS TOPIC TENANT COUNT. Single-object encoding."""

import datetime
import io
import json
import pathlib
import sys

import fastavro
from confluent_kafka import Producer

folder, brokers, topic, tenant, count = sys.argv[1:]
text = pathlib.Path(folder, "ActionEvent.avsc").read_text()
schema = fastavro.parse_schema(json.loads(text))
canonical = fastavro.schema.to_parsing_canonical_form(json.loads(text))
fingerprint = bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))
header = b"\xc3\x01" + fingerprint

producer = Producer({"bootstrap.servers": brokers, "partitioner": "murmur2_random"})
failed = []
for n in range(int(count)):
    value = io.BytesIO()
    value.write(header)
    fastavro.schemaless_writer(value, schema, {
        "eventId": f"py-{n}",
        "tenantId": tenant,
        "userId": "Zoë",
        "actionCode": "order.paid",
        "eventTs": datetime.datetime(2026, 3, 2, 10, 0, 0, 123, datetime.timezone.utc),
        "payload": '{"amount": 42.10, "country": "FR"}',
    })
    producer.produce(topic, key=tenant, value=value.getvalue(),
                     on_delivery=lambda error, _: failed.append(error) if error else None)
producer.flush(60)
sys.exit(f"not delivered: {failed}" if failed else 0)
