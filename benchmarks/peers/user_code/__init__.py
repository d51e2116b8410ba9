"""What a user of each peer writes for the three tasks: its lines are counted.

Each has `prepare(task, example, epochs)`, whose result `answer(prepared, data, num_draws)` takes; only what is trained
looks at `epochs`.
"""
