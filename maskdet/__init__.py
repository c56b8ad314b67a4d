"""See who wears a mask, who does not and who wears it wrongly."""
