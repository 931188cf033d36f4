"""Programs for people who change this repository; no part of the hub."""
