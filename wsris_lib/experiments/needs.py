"""The memory that the whole of a profile takes, all processes together, beside what is free: before it is started."""

from wsris_lib.config.folders import run_folder
from wsris_lib.config.profiles import Profile
from wsris_lib.infra import artefacts
from wsris_lib.infra import memory as process_memory

# GB of all processes of `reproduce` together with two workers. tiny: one whole run on two cores. The others are
# reckoned: this process keeps 0.65, a worker that runs a lesson has 0.07 and its kernel 0.8 (smoke) to 1.6 (tiny). Of
# smoke were measured: a trial without lessons, 1.9, and two lessons side by side, 2.2.
USUAL_GB = {"smoke": (3.0, "reckoned"), "tiny": (3.5, "measured elsewhere, two cores"), "long": (4.0, "reckoned")}


def memory_gb(profile: Profile) -> tuple[float, str] | None:
    """How much the profile takes and how that is known; None for one whose models nobody has run with this code."""
    file = run_folder(profile) / "memory.json"
    if file.is_file():
        return max(artefacts.read_json(file).values()) / 1e9, "measured in its last whole run here"
    base = profile.name.partition("+")[0]
    return USUAL_GB.get(base)


def memory_line(profile: Profile) -> str:
    """What is needed beside what is free, in words."""
    need = memory_gb(profile)
    free = process_memory.free()
    needed = f"{need[0]:.1f} GB for all processes together ({need[1]})" if need else f"not known for {profile.name}"
    return f"memory: {needed}; free now: " + (f"{free / 1e9:.1f} GB" if free else "not known")


def note(profile: Profile, peaks: dict[str, int]) -> None:
    """Keep the highest that each stage took, in bytes; a run that resumes takes less."""
    file = run_folder(profile) / "memory.json"
    before = artefacts.read_json(file) if file.is_file() else {}
    artefacts.write_json(file, {stage: max(taken, before.get(stage, 0)) for stage, taken in peaks.items()})
