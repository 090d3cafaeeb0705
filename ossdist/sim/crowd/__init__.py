"""A model of large swarms: thousands of peers, piece by piece, in virtual time.

Where `ossdist.sim` runs production's transfers over sessions in memory, byte for byte, this counts pieces and shares
links fairly, so that a flash crowd of thousands takes minutes. Policy is production's own (`ossdist.sim.crowd.policy`).

    scenario = load("flash-crowd")
    result = run(scenario, seed=1)
    print(result.completion.p99, result.trace_hash)

Raises:
    ImportError: The extra ``sim`` is not installed.
"""

try:
    from ossdist.sim.crowd.cadence import Cadence, run_cadence
    from ossdist.sim.crowd.library import load, shipped
    from ossdist.sim.crowd.run import Completion, Result, run
    from ossdist.sim.crowd.scenario import Scenario
except ModuleNotFoundError as error:
    raise ImportError(f"simulations need {error.name}; install ossdist[sim]") from error

__all__ = ["Cadence", "Completion", "Result", "Scenario", "load", "run", "run_cadence", "shipped"]
