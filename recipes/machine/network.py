"""Whether hosts can be reached, before something that would try for minutes to find out."""

import concurrent.futures
import os
import socket

SECONDS = 5.0  # to wait for an answer
PROXIES = ("https_proxy", "http_proxy", "all_proxy")


def any_answers(hosts, port=443):
    """Whether one of several hosts can be reached; behind a proxy, which is not asked, they may be.

    Args:
        hosts: list of at least one name.
        port: int.
    """
    if any(os.environ.get(name) or os.environ.get(name.upper()) for name in PROXIES):
        return True
    pool = concurrent.futures.ThreadPoolExecutor(len(hosts))
    tries = [pool.submit(_answers, host, port) for host in hosts]
    try:
        return any(each.result() for each in concurrent.futures.as_completed(tries, timeout=2 * SECONDS))
    except TimeoutError:  # looking up a name has no limit of its own
        return False
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _answers(host, port):
    try:
        socket.create_connection((host, port), timeout=SECONDS).close()
    except OSError:
        return False
    return True
