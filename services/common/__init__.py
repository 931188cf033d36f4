"""Plumbing that every room uses: it knows Kafka, PostgreSQL and HTTP, and knows no referral."""
