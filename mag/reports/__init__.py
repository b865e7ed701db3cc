"""What is made of finished runs: tests, diagnoses, pictures of battles, benchmarks."""
