"""The paper's cells and ours: which rows answer a cell, what is reproduced, and what its claims come to."""
