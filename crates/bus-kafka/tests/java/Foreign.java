import java.math.BigDecimal;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.avro.Conversions.DecimalConversion;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.message.BinaryMessageDecoder;
import org.apache.avro.message.BinaryMessageEncoder;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** A client with nothing of the platform but its schemas, in Avro's own single-object encoding. */
public class Foreign {
  /** produce FOLDER BROKERS TOPIC TENANT COUNT, or consume FOLDER BROKERS TOPIC COUNT. */
  public static void main(String[] args) throws Exception {
    switch (args[0]) {
      case "produce" -> produce(args[1], args[2], args[3], args[4], Integer.parseInt(args[5]));
      case "consume" -> consume(args[1], args[2], args[3], Integer.parseInt(args[4]));
      default -> throw new IllegalArgumentException(args[0]);
    }
  }

  private static Schema schema(String folder, String name) throws Exception {
    return new Schema.Parser().parse(Files.readString(Path.of(folder, name + ".avsc")));
  }

  private static void produce(
      String folder, String brokers, String topic, String tenant, int count) throws Exception {
    Schema schema = schema(folder, "ActionEvent");
    var encoder = new BinaryMessageEncoder<GenericRecord>(new GenericData(), schema);
    Map<String, Object> settings = Map.of("bootstrap.servers", brokers);
    List<Future<RecordMetadata>> sent = new ArrayList<>();
    try (var producer =
        new KafkaProducer<>(settings, new StringSerializer(), new ByteArraySerializer())) {
      for (int n = 0; n < count; n++) {
        var event = new GenericData.Record(schema);
        event.put("eventId", "java-" + n);
        event.put("tenantId", tenant);
        event.put("userId", "Zoë");
        event.put("actionCode", "order.paid");
        Instant at = Instant.parse("2026-03-02T10:00:00.000123Z");
        event.put("eventTs", at.getEpochSecond() * 1_000_000 + at.getNano() / 1_000);
        event.put("payload", "{\"amount\": 42.10, \"country\": \"FR\"}");
        var bytes = encoder.encode(event);
        var value = new byte[bytes.remaining()];
        bytes.get(value);
        sent.add(producer.send(new ProducerRecord<>(topic, tenant, value)));
      }
    }
    for (var one : sent) {
      one.get();
    }
  }

  private static void consume(String folder, String brokers, String topic, int count)
      throws Exception {
    Schema schema = schema(folder, "IncentiveEvent");
    var data = new GenericData();
    data.addLogicalTypeConversion(new DecimalConversion());
    var decoder = new BinaryMessageDecoder<GenericRecord>(data, schema);
    Map<String, Object> settings =
        Map.of(
            "bootstrap.servers", brokers,
            "group.id", "java-" + topic,
            "auto.offset.reset", "earliest",
            "enable.auto.commit", "false");
    var out = new java.io.PrintStream(System.out, true, "UTF-8");
    try (var consumer =
        new KafkaConsumer<>(settings, new StringDeserializer(), new ByteArrayDeserializer())) {
      consumer.subscribe(List.of(topic));
      long end = System.nanoTime() + Duration.ofSeconds(60).toNanos();
      for (int found = 0; found < count; ) {
        if (System.nanoTime() > end) {
          throw new IllegalStateException("only " + found + " of " + count + " came");
        }
        for (var record : consumer.poll(Duration.ofSeconds(1))) {
          GenericRecord event = decoder.decode(record.value());
          var amount = (BigDecimal) event.get("rewardAmount");
          var issued = Instant.EPOCH.plusNanos((long) event.get("issuedAt") * 1_000);
          var place = new String(record.headers().lastHeader("incent-place").value(), "UTF-8");
          out.println(
              String.join(
                  "|",
                  record.key(),
                  event.get("incentiveId").toString(),
                  event.get("tenantId").toString(),
                  event.get("eventId").toString(),
                  amount.stripTrailingZeros().toPlainString(),
                  event.get("type").toString(),
                  event.get("seq").toString(),
                  issued.toString(),
                  place));
          found++;
        }
      }
    }
  }
}
