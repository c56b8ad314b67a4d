"""What a threshold costs, told before it is chosen: what the Tune page counts."""
