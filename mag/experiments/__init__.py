"""Studies: grids of runs, the table and statistics of their curves, the paper's figures, and Theorem 1."""
