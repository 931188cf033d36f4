"""Code that every service uses: Kafka, PostgreSQL and HTTP. It knows no service and no referral."""
