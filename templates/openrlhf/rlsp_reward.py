"""Reward function for OpenRLHF: asks rlsp's reward service, and waits until there is a reply.

OpenRLHF goes on without a reward when this function fails, so it never does: while the service is
away it asks again, and when that has lasted too long it ends the process, and the job with it.
OpenRLHF loads this file by its path, without the folder on sys.path: it needs nothing but the
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
"""How long to ask a service that is away."""
ANSWER_S = 600.0
"""How long one reply may take: a reward that compares a group waits for all of its samples."""
ASK_AGAIN = (500, 503)
"""HTTP codes of a service that is starting, ending or full."""
NUMBER_BITS = 52
"""Of a request's number, which OpenRLHF carries as a float: 52 bits stay exact."""
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""The service is on this network: a proxy of the environment does not lead to it."""
DRAWN = random.SystemRandom()
"""Draws requests' numbers from the system: a generator with a seed could repeat them."""


class RefusedError(Exception):
    """Asking again would not help: the request is wrong, or the training that it reports."""


def reward_func(queries, prompts, labels):
    """The reward of one sample with its components; each argument is a list of one."""
    try:
        # The service recognises a request that comes again by its number, and the trainer names the
        # numbers that make up a rollout.
        request = DRAWN.getrandbits(NUMBER_BITS)
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
    """POST to the service, again and again until it replies; RefusedError when it refuses."""
    pause, began = FIRST_PAUSE_S, time.monotonic()
    while True:
        try:
            status, text = post(path, body)
            if status == 200:
                return json.loads(text)
            if status not in ASK_AGAIN:
                raise RefusedError(f"HTTP {status}: {text}")
            problem = text
        except (OSError, ValueError, http.client.HTTPException) as error:
            # Not there, or it died in the middle of its reply.
            problem = f"{type(error).__name__}: {error}"

        if time.monotonic() - began > PATIENCE_S:
            give_up(f"no answer from the reward service for {PATIENCE_S:.0f} s: {problem}")
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_S)


def post(path, body):
    """The HTTP code and the text of one reply."""
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
    """The reply; RefusedError unless all of its numbers are finite."""
    numbers = [reply["rewards"], reply["scores"], *reply["extra_logs"].values()]
    if not all(isinstance(number, int | float) and math.isfinite(number) for number in numbers):
        raise RefusedError(f"not all numbers in {reply}")
    return reply


def give_up(reason):
    """End the process and so the job, instead of a training without this reward."""
    print(f"rlsp: {reason}", file=sys.stderr, flush=True)

    # Not sys.exit: this is a thread of a Ray worker, which would swallow the exception.
    os._exit(1)
