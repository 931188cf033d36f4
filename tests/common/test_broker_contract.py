"""What the hub asks of a bus, on the local log and on Apache Kafka."""

from services.common.broker import Broker, Received, Record


def test_records_of_one_key_arrive_in_order(broker: Broker) -> None:
    records = [Record("referrals.v1", f"key-{n % 3}", {"n": str(n)}, b"x") for n in range(30)]
    producer = broker.producer()
    assert all(producer.send(records).acknowledged(10))
    consumer = broker.consumer("group", ["referrals.v1"])
    received: list[Received] = []
    while len(received) < 30:
        received += consumer.poll(5)
    for key in range(3):
        assert [r.record.headers["n"] for r in received if r.record.key == f"key-{key}"] == [
            str(n) for n in range(key, 30, 3)
        ]
    consumer.close()
    producer.close()
