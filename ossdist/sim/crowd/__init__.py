"""A model of large swarms: thousands of peers, piece by piece, in virtual time.

Where `ossdist.sim` runs production's transfers over sessions in memory, byte for byte, this counts pieces and shares
links fairly, so that a flash crowd of thousands takes minutes. Policy is production's own (`ossdist.sim.crowd.policy`).
"""
