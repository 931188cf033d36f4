"""The front page of a hub's address: neutral words and the ways in. It knows no service and holds nothing about anybody."""
