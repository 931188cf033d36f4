"""Notices that tell agencies to stop using something, by poll and by push."""
