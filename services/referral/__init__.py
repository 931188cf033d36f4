"""The sorting room: carries sealed boxes, runs the referral's life, shows agencies what waits for them."""
