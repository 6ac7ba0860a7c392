"""Commands that carry files and trees: ours and the peers'.

A transfer is a function of the address, the name in the data set and the local path; it returns the
command. Peers use the fastest cipher of OpenSSH and as many connections as they profit from.
"""
import json
import os
import shlex
import tempfile

from dataset import tree_of
from mounts import Ours, rclone_source
from processes import installed


def access_file(work, access):
    file, name = tempfile.mkstemp(prefix="access-", suffix=".json", dir=work)
    with open(file, "w") as output:
        json.dump(access, output)
    return name


class Transfer:
    """A tool that can do it; `program` is what it needs to be installed."""

    def __init__(self, name, program, command):
        self.name = name
        self.program = program
        self.command = command


def ours(subcommand):
    def command(address, name, local):
        file = access_file(os.path.dirname(local),
                           address.access(name, is_file=subcommand.endswith("-file")))
        return [Ours.red, subcommand, file, local]
    return Transfer("ours", None, command)


def login(address):
    return f"{address.user}@127.0.0.1"


def remote(address, name):
    return f"{login(address)}:{address.path(name)}"


def ssh(address):
    return shlex.join(["ssh", *address.options(), login(address)])


def rsync(address, *arguments):
    return ["rsync", "-e", shlex.join(["ssh", *address.options()]), *arguments]


def sftp(address, command):
    """sftp with one command, in requests of which it keeps many under way."""
    return (f"echo {shlex.quote(command)} | " +
            shlex.join(["sftp", "-q", "-b", "-", "-R", "512", *address.options(), login(address)]))


def lftp(address, script):
    if address.protocol == "sftp":
        program = shlex.quote(shlex.join(["ssh", "-a", "-x", *address.options()]))
        script = (f"set sftp:connect-program {program}; "
                  f"open sftp://{address.user}:none@127.0.0.1; {script}")
    return ["lftp", "--norc", "-c", script]


def rclone(*arguments):
    return ["rclone", "--config", "/dev/null", *arguments]


# --- a file from the server ---

def curl_file(address, name, local):
    trust = ["--cacert", address.certificate] if address.certificate else []
    return ["curl", "-sf", *trust, "-o", local, address.url(name)]


def aria2_file(address, name, local):
    return ["aria2c", "-q", "-x16", "-s16", "-k1M", "--file-allocation=none", "-d",
            os.path.dirname(local), "-o", os.path.basename(local), address.url(name)]


def lftp_file(address, name, local):
    source = address.url(name) if address.protocol == "http" else address.path(name)
    return lftp(address, f"set net:socket-buffer 4194304; pget -n 8 {source} -o {local}")


def rclone_file(address, name, local):
    source, *options = rclone_source(address, os.path.dirname(name))
    return rclone("copyto", os.path.join(source, os.path.basename(name))
                  if address.protocol == "sftp" else source + os.path.basename(name), local,
                  "--multi-thread-streams", "8", *options)


def scp_file(address, name, local):
    return ["scp", "-q", *address.options(), remote(address, name), local]


def sftp_file(address, name, local):
    return sftp(address, f"get {address.path(name)} {local}")


def ssh_cat(address, name, local):
    return f"{ssh(address)} cat {address.path(name)} > {local}"


def rsync_file(address, name, local):
    return rsync(address, "-W", remote(address, name), local)


RECEIVE_FILE = {
    "http": (ours("receive-file"), Transfer("curl", "curl", curl_file),
             Transfer("aria2c x16", "aria2c", aria2_file),
             Transfer("lftp pget x8", "lftp", lftp_file),
             Transfer("rclone", "rclone", rclone_file)),
    "sftp": (ours("receive-file"), Transfer("ssh cat", "ssh", ssh_cat),
             Transfer("sftp -R 512", "sftp", sftp_file), Transfer("scp", "scp", scp_file),
             Transfer("rsync", "rsync", rsync_file), Transfer("lftp pget x8", "lftp", lftp_file),
             Transfer("rclone", "rclone", rclone_file)),
}


# --- a tree from the server ---

def curl_tree(address, name, local):
    """With a list of what there is, which the others have to find out."""
    config = os.path.join(os.path.dirname(local), "curl-list")
    with open(config, "w") as file:
        for each in tree_of(os.path.join(address.root, name)):
            file.write(f'url = "{address.url(name + "/" + each)}"\noutput = "{local}/{each}"\n')
    trust = ["--cacert", address.certificate] if address.certificate else []
    return ["curl", "-sf", "-Z", "--parallel-max", "50", "--create-dirs", *trust, "-K", config]


def rclone_tree(address, name, local):
    source, *options = rclone_source(address, name)
    return rclone("copy", source, local, "--transfers", "32", "--checkers", "32", *options)


def lftp_tree(address, name, local):
    source = address.url(name) if address.protocol == "http" else address.path(name)
    return lftp(address, f"mirror -P 16 {source}/ {local}")


def tar_tree(address, name, local):
    return f"{ssh(address)} tar cf - -C {address.path(name)} . | tar xf - -C {local}"


def rsync_tree(address, name, local):
    return rsync(address, "-a", remote(address, name) + "/", local)


def sftp_tree(address, name, local):
    return ["sftp", "-q", "-r", *address.options(), remote(address, name) + "/*", local]


RECEIVE_DIR = {
    "http": (ours("receive-dir"), Transfer("curl -Z, given list", "curl", curl_tree),
             Transfer("rclone x32", "rclone", rclone_tree),
             Transfer("lftp mirror x16", "lftp", lftp_tree)),
    "h2": (ours("receive-dir"), Transfer("curl -Z, given list", "curl", curl_tree),
           Transfer("rclone x32", "rclone", rclone_tree)),
    "sftp": (ours("receive-dir"), Transfer("ssh tar", "ssh", tar_tree),
             Transfer("rsync", "rsync", rsync_tree), Transfer("rclone x32", "rclone", rclone_tree),
             Transfer("sftp -r", "sftp", sftp_tree)),
}


# --- to the server ---

def send_cat(address, name, local):
    return f"{ssh(address)} 'cat > {address.path(name)}' < {local}"


def send_sftp(address, name, local):
    return sftp(address, f"put {local} {address.path(name)}")


def send_scp(address, name, local):
    return ["scp", "-q", *address.options(), local, remote(address, name)]


def send_rsync(address, name, local):
    return rsync(address, "-W", local, remote(address, name))


def send_tar(address, name, local):
    return f"tar cf - -C {local} . | {ssh(address)} tar xf - -C {address.path(name)}"


def send_rsync_tree(address, name, local):
    return rsync(address, "-a", local + "/", remote(address, name) + "/")


def send_rclone_tree(address, name, local):
    target, *options = rclone_source(address, name)
    return rclone("copy", local, target, "--transfers", "32", "--checkers", "32", *options)


SEND_FILE = (ours("send-file"), Transfer("cat to ssh", "ssh", send_cat),
             Transfer("sftp -R 512", "sftp", send_sftp), Transfer("scp", "scp", send_scp),
             Transfer("rsync", "rsync", send_rsync))
SEND_DIR = (ours("send-dir"), Transfer("tar to ssh tar", "ssh", send_tar),
            Transfer("rsync", "rsync", send_rsync_tree),
            Transfer("rclone x32", "rclone", send_rclone_tree))


def missing():
    """Programs of peers that are not installed."""
    tools = (*SEND_FILE, *SEND_DIR, *(tool for table in (RECEIVE_FILE, RECEIVE_DIR)
                                      for each in table.values() for tool in each))
    return {tool.program for tool in tools if tool.program and not installed(tool.program)}
