"""
Speed and bytes on this machine: the line beside the script an integrator would write instead.

``python -m benchmarks`` prints a table of CPU per reading, readings per second and bytes on the wire, medians of
interleaved rounds, with ratios taken inside each round. Nothing here is asserted; numbers in documents carry date,
machine and this command.
"""
