"""
Fault tools: kill before any disk-changing call, and every folder a power cut could have left.

Bottom up: content -> folder -> disk -> powercut (which states), calllog -> recorder (how a run is
recorded), sweep (many checks on two cores). README.md says how a fault test is written. Nothing here
imports the package under test.
"""
