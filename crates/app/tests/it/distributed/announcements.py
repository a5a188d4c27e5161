"""Reads a topic of IncentiveEvents from its beginning to its present end: FOLDER BROKERS TOPIC.
Writes a line for each: partition, source partition, batch, ordinal, and what it announces."""

import datetime
import io
import json
import pathlib
import sys
import time

import fastavro
from confluent_kafka import Consumer, TopicPartition

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
folder, brokers, topic = sys.argv[1:]
text = pathlib.Path(folder, "IncentiveEvent.avsc").read_text()
schema = fastavro.parse_schema(json.loads(text))

consumer = Consumer({"bootstrap.servers": brokers, "group.id": "nobody", "enable.auto.commit": False})
partitions = consumer.list_topics(topic, 30).topics[topic].partitions
ends, begun = {}, time.monotonic()
for partition in partitions:
    first, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), 30)
    if end > first:
        ends[partition] = end
consumer.assign([TopicPartition(topic, partition, 0) for partition in ends])
while ends:
    if time.monotonic() - begun > 300:
        sys.exit(f"not at the end of {ends}")
    message = consumer.poll(1)
    if message is None or message.error():
        continue
    event = fastavro.schemaless_reader(io.BytesIO(message.value()[10:]), schema, schema)
    place = dict(message.headers())["incent-place"].decode().split("/")
    if message.key().decode() != event["userId"]:
        sys.exit(f"the key of {event} is {message.key()}")
    amount = format(event["rewardAmount"].normalize(), "f")
    issued = (event["issuedAt"] - EPOCH) // datetime.timedelta(microseconds=1)
    print(message.partition(), *place, event["incentiveId"], event["seq"], event["tenantId"],
          event["userId"], event["campaignId"], event["eventId"], event["type"],
          event["rewardCurrency"], amount, issued, sep="|")
    if message.offset() + 1 >= ends[message.partition()]:
        del ends[message.partition()]
consumer.close()
