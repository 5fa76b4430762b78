"""Reward function for OpenRLHF: asks rlsp's reward service, and waits until there is a true answer.

OpenRLHF goes on without a reward when this function fails, so it never does: while the service is
    away it asks again,
and when that has lasted too long it ends the process, and the job with it. Needs nothing but the
standard library.
"""

import http.client
import json
import math
import os
import random
import sys
import time
import urllib.error
import urllib.request

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
PATIENCE_S = float(os.environ.get("RLSP_REWARD_PATIENCE_S", "1800"))
ANSWER_S = 600.0
"""A group's reward waits for all of its samples."""
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""The service is nearby: what stands in http_proxy does not lead to it."""


DRAWN = random.SystemRandom()
"""Names for requests: the service knows one that it is asked again, and the trainer says which made up a rollout."""


class RefusedError(Exception):
    """The service will not change its mind: the request was wrong, or the training it tells of is."""


def reward_func(queries, prompts, labels):
    """One reward with its components; OpenRLHF hands over one sample at a time, in lists."""
    try:
        request = DRAWN.getrandbits(52)  # exact as a float, too
        body = {
            "query": queries[0],
            "prompts": prompts[0],
            "labels": json.loads(labels[0]),
            "request": request,
        }
        reply = finite(ask("/", body))
        reply["extra_logs"]["rlsp_request"] = request
        return reply
    except Exception as error:
        give_up(f"{type(error).__name__}: {error}")


def ask(path, body):
    """POST to the service; its answer, however long that takes. RefusedError when it says no."""
    pause, began = FIRST_PAUSE_S, time.monotonic()
    while True:
        try:
            status, said = post(path, body)
            if status == 200:
                return json.loads(said)
            if status not in (500, 503):
                raise RefusedError(f"HTTP {status}: {said}")
        except (
            OSError,
            ValueError,
            http.client.HTTPException,
        ) as error:  # the last: it died while it answered
            said = f"{type(error).__name__}: {error}"
        if time.monotonic() - began > PATIENCE_S:
            give_up(f"no answer from the reward service for {PATIENCE_S:.0f} s: {said}")
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_S)


def post(path, body):
    """The status and the text of one answer."""
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {os.environ.get('RLSP_REWARD_TOKEN', '')}",
    }
    url = os.environ["RLSP_REWARD_URL"].rstrip("/") + path
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with DIRECT.open(request, timeout=ANSWER_S) as answer:
            return answer.status, answer.read().decode("utf-8", errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode("utf-8", errors="replace")


def finite(reply):
    """The reply, all of whose numbers are finite."""
    numbers = [reply["rewards"], reply["scores"], *reply["extra_logs"].values()]
    if not all(isinstance(number, int | float) and math.isfinite(number) for number in numbers):
        raise RefusedError(f"not all numbers in {reply}")
    return reply


def give_up(reason):
    """End the process, which ends the job: better than a reward that is none."""
    print(f"rlsp: {reason}", file=sys.stderr, flush=True)
    os._exit(1)
