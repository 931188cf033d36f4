"""Building and running web applications, and calling other servers."""
