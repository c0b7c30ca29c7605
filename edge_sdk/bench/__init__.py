"""
What this board can carry: the line as it ships, measured stage by stage on the medium and the processor at hand.

    workload   policies and readings, the same for everything that is measured
    meter      clocks of the processor, memory of this process, what the medium's own statistics count
    stages     record, journal, seal and send, one configuration at a time
    latency    how long record() blocks while the uplink is down and the disk is slow
    start      how long a fresh process takes to its first durable reading, and what it occupies
    advice     what the figures mean: what the board carries, and which settings fit it
    page       the same as a page with plots, without scripts

Opens real sites in a folder of its own and sends to a real collector on loopback. Nothing of a household is read.
The command line makes the sites, runs the rounds and prints.
"""
