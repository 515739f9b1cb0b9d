# SPDX-License-Identifier: Apache-2.0
"""One of two processes of a run, started by torchrun: its name says what it tries."""

import sys
import threading
from datetime import timedelta

from accelerate import Accelerator, InitProcessGroupKwargs

from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.together import together

TIME_OUT = 5.0  # of the backend [s]


def main() -> None:
    accelerator = Accelerator(
        cpu=True, kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(seconds=TIME_OUT))]
    )
    rank = accelerator.process_index
    if sys.argv[1] == "long":

        def work() -> int:
            threading.Event().wait(2.5 * TIME_OUT)  # longer than any barrier may last
            return 7

        result = together(accelerator, work, main_only=True)
        assert result == (7 if rank == 0 else None), result
        assert together(accelerator, lambda: rank) == rank
    elif sys.argv[1] == "fails":

        def fail() -> None:
            if rank == 1:
                raise TrainingError("the second one's disk is full")
            threading.Event().wait(60)

        try:
            together(accelerator, fail)
        except TrainingError as error:
            print(f"rank {rank}: {error}", flush=True)
        else:
            raise AssertionError("it did not fail")
    print(f"rank {rank} is done", flush=True)


if __name__ == "__main__":
    main()
