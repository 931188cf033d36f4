"""Every query of reporting: facts about services, the counts of survivors, and publications."""
