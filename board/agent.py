"""The guest's end of the control channel: runs the commands that board/ctl sends over a virtio serial port.

Both directions use lines of UTF-8. The host sends `ID SECONDS COMMAND`. The guest sends `ID | LINE` for each line of
output (standard output and error together), then `ID = STATUS`. If the command takes longer than SECONDS, its process
group is killed and the status is 124. Its background processes go on. `ID SECONDS board-off` switches the board off.
"""

import os
import select
import signal
import subprocess
import sys
import time

NODE = "/sys/class/virtio-ports"


def port_path():
    """Finds the port by its name. udev, which would make the links in /dev/virtio-ports, does not run here."""
    while True:
        for port in os.listdir(NODE) if os.path.isdir(NODE) else []:
            with open(f"{NODE}/{port}/name", encoding="ascii") as f:
                if f.read().strip() == "board.control":
                    return f"/dev/{port}"
        time.sleep(0.02)


def send(fd, text):
    data = text.encode("utf-8", "replace") + b"\n"
    while data:
        data = data[os.write(fd, data) :]


def execute(fd, ident, seconds, command):
    child = subprocess.Popen(
        ["/bin/sh", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        cwd="/",
    )
    out = child.stdout.fileno()
    os.set_blocking(out, False)
    # Waits for the end of the command, not of its output: a daemon that it started may keep the pipe open.
    ended = os.pidfd_open(child.pid)
    poll = select.poll()
    poll.register(out, select.POLLIN)
    poll.register(ended, select.POLLIN)
    deadline = time.monotonic() + seconds
    rest, status, finished = b"", None, False
    while True:
        left = deadline - time.monotonic()
        ready = dict(poll.poll(max(0, left * 1000)))
        finished = ended in ready or finished
        if not ready and not finished and left <= 0:
            os.killpg(child.pid, signal.SIGKILL)
            finished, status = True, 124
        data = b""
        if out in ready or finished:
            try:
                data = os.read(out, 1 << 16)
                if not data:
                    poll.unregister(out)
                    ready.pop(out, None)
                    out = -1
            except (BlockingIOError, OSError):
                pass
        rest += data
        *lines, rest = rest.split(b"\n")
        for line in lines:
            send(fd, f"{ident} | {line.decode('utf-8', 'replace')}")
        if finished and not data:
            break
    if rest:
        send(fd, f"{ident} | {rest.decode('utf-8', 'replace')}")
    code = child.wait()
    child.stdout.close()
    os.close(ended)
    if status is None:
        status = 128 - code if code < 0 else code
    send(fd, f"{ident} = {status}")


def set_clock():
    """Sets the clock from the time stamp of a file on the host's disk. At boot it is only right to a second."""
    stamp = "/board/.clock"
    with open(stamp, "w", encoding="ascii") as f:
        f.write("now\n")
    time.clock_settime(time.CLOCK_REALTIME, os.stat(stamp).st_mtime)
    os.unlink(stamp)


def main():
    set_clock()
    fd = os.open(port_path(), os.O_RDWR)
    with open("/board/.ready", "w", encoding="ascii"):
        pass  # tells board/run that the channel is open
    rest = b""
    while True:
        data = os.read(fd, 4096)
        if not data:  # nobody is connected
            rest = b""
            time.sleep(0.05)
            continue
        rest += data
        *lines, rest = rest.split(b"\n")
        for line in lines:
            parts = line.decode("utf-8", "replace").split(" ", 2)
            if len(parts) < 3 or not parts[1].isdigit():
                continue
            ident, seconds, command = parts
            if command == "board-off":
                send(fd, f"{ident} = 0")
                return
            execute(fd, ident, int(seconds), command)


if __name__ == "__main__":
    sys.exit(main())
