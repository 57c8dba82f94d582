"""CronJob: a Job at each time of a schedule.

`schedule` knows when, `controller` is the loop, `history` says which ended Jobs are too many.
"""

from knet.controllers.cronjob.controller import build

__all__ = ["build"]
