"""What is measured against what, as ratios from one run."""
