"""Video files that name other files, under a watcher of all that is opened.

media  FILE:COMMAND   a file of the table below, read by inspect, frames, embed, audit, train or shard (training on a
                      tar file that holds it)
A failure is any file of the trial's folder but the video that was named, any file elsewhere that a sound video does not
need, any socket, and any other program. The watcher is the library of faults.cpp, and strace where it works, which also
sees what goes past the C library.
"""

import os
import pathlib
import re
import resource
import shutil
import struct
import subprocess
import tarfile
import zlib

import trial
from trial import IDENTICAL, LAST, REFUSED, Failure

COMMANDS = ("inspect", "frames", "embed", "audit", "train", "shard")
# Where a file that is opened twice a frame would end.
MOST_OPENS = 3000
SYSTEM = ("/proc/", "/sys/", "/dev/null", "/dev/urandom", "/dev/random", "/dev/full")


# ---- the files

def hls(*lines):
    return "\n".join(["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-TARGETDURATION:10", *lines, "#EXT-X-ENDLIST", ""]).encode()


def segment(uri):
    return ["#EXTINF:1.0,", uri]


def dash(url):
    return f"""<?xml version="1.0"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT1S"
 profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet mimeType="video/mp4">
<Representation id="1" bandwidth="1000"><BaseURL>{url}</BaseURL></Representation></AdaptationSet></Period></MPD>
""".encode()


def png(side=16):
    """A gray picture."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress((b"\0" + b"\x80" * side) * side)) + chunk(b"IEND", b""))


def box(kind, *parts):
    data = b"".join(parts)
    return struct.pack(">I", 8 + len(data)) + kind + data


def mov(reference=None, frames=8, side=32):
    """A QuickTime file of uncompressed frames, whose samples are in another file if a reference to one is given."""
    matrix = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    size = 3 * side * side
    full = bytes(4)
    entry = box(b"url ", struct.pack(">I", 1)) if reference is None else reference
    description = box(b"raw ", bytes(6), struct.pack(">H", 1), bytes(16), struct.pack(">HH", side, side),
                      struct.pack(">II", 72 << 16, 72 << 16), bytes(4), struct.pack(">H", 1), bytes(32),
                      struct.pack(">Hh", 24, -1))

    def movie(offset):
        table = box(b"stbl", box(b"stsd", full, struct.pack(">I", 1), description),
                    box(b"stts", full, struct.pack(">III", 1, frames, 1)),
                    box(b"stsc", full, struct.pack(">IIII", 1, 1, frames, 1)),
                    box(b"stsz", full, struct.pack(">II", size, frames)),
                    box(b"stco", full, struct.pack(">II", 1, offset)))
        media = box(b"mdia", box(b"mdhd", full, struct.pack(">IIIII", 0, 0, 25, frames, 0)),
                    box(b"hdlr", full, b"mhlrvide", bytes(13)),
                    box(b"minf", box(b"vmhd", struct.pack(">I", 1), bytes(8)),
                        box(b"dinf", box(b"dref", full, struct.pack(">I", 1), entry)), table))
        track = box(b"trak", box(b"tkhd", struct.pack(">I", 7), struct.pack(">IIIII", 0, 0, 1, 0, frames), bytes(16),
                                 matrix, struct.pack(">II", side << 16, side << 16)), media)
        return box(b"moov", box(b"mvhd", full, struct.pack(">IIIIIH", 0, 0, 25, frames, 0x10000, 0x100), bytes(10),
                                matrix, bytes(24), struct.pack(">I", 2)), track)
    start = box(b"ftyp", b"qt  ", bytes(4), b"qt  ")
    samples = b"".join(bytes([(16 * i + j) % 256 for j in range(size)]) for i in range(frames))
    offset = 8 if reference is not None else len(start) + len(movie(0)) + 8
    return start + movie(offset) + (b"" if reference is not None else box(b"mdat", samples))


def alias(path):
    """The record by which QuickTime names a file: fixed fields, then the volume and the absolute path (type 2)."""
    name = pathlib.Path(path).name.encode()[:27]
    text = b"disk" + path.encode()
    record = (bytes(10) + bytes([4]) + b"disk".ljust(27, b"\0") + bytes(12) + bytes([len(name)]) +
              name.ljust(63, b"\0") + bytes(16) + struct.pack(">hh", 1, 1) + bytes(16) +
              struct.pack(">hH", 2, len(text)) + text + bytes(len(text) % 2) + struct.pack(">hH", -1, 0))
    return box(b"alis", struct.pack(">I", 0), record)


def files(folder, sound):
    """Name of a file: its bytes. secret is outside the data, neighbor beside the file."""
    secret = str(folder / "secret/secret.mov")
    made = {
        "hls-absolute": hls(*segment(secret)),
        "hls-file-url": hls(*segment("file://" + secret)),
        "hls-neighbor": hls(*segment("neighbor.mov")),
        "hls-up": hls(*segment("../secret/secret.mov")),
        "hls-map": hls(f'#EXT-X-MAP:URI="{secret}"', *segment("neighbor.mov")),
        "hls-key": hls(f'#EXT-X-KEY:METHOD=AES-128,URI="{secret}"', *segment("neighbor.mov")),
        "hls-master": hls("#EXT-X-STREAM-INF:BANDWIDTH=1000", "other.m3u8"),
        "hls-http": hls(*segment("http://127.0.0.1:9/a.ts")),
        "hls-concat": hls(*segment(f"concat:{secret}|{secret}")),
        "hls-subfile": hls(*segment(f"subfile,,start,0,end,4096,,:{secret}")),
        "dash": dash(secret),
        "dash-neighbor": dash("neighbor.mov"),
        "ffconcat": b"ffconcat version 1.0\nfile 'neighbor.mov'\n",
        "ffconcat-absolute": f"ffconcat version 1.0\nfile '{secret}'\n".encode(),
        "ffconcat-polyglot": b"ffconcat version 1.0\nfile neighbor.mov\n#" + sound,
        "sdp": b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video 5004 RTP/AVP 96\r\n"
               b"a=rtpmap:96 H264/90000\r\n",
        "rtsp": b"RTSPtext\nrtsp://127.0.0.1:9/a\n",
        "asf-reference": b"[Reference]\r\nRef1=http://127.0.0.1:9/a.asf?MSWMExt=.asf\r\n",
        "vobsub": b"# VobSub index file, v7 (do not modify this line!)\nsize: 32x32\nid: en, index: 0\n"
                  b"timestamp: 00:00:00:000, filepos: 000000000\n",
        "imf": b'<?xml version="1.0"?>\n<CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016">'
               b"<Id>urn:uuid:0eb3d1b9-b77b-4d3f-bbe5-7c69b15dca84</Id><ContentTitle>x</ContentTitle>"
               b"<EditRate>25 1</EditRate><SegmentList/></CompositionPlaylist>\n",
        "mov-url": mov(box(b"url ", struct.pack(">I", 0), f"file://{secret}\0".encode())),
        "mov-alias": mov(alias(secret)),
        "mov-alias-neighbor": mov(alias(str(folder / "data/neighbor.mov"))),
        "mov-movie": box(b"ftyp", b"qt  ", bytes(4), b"qt  ") +
                     box(b"moov", box(b"rmra", box(b"rmda", box(b"rdrf", bytes(4), b"url ",
                                                                  struct.pack(">I", len(secret)), secret.encode())))),
        "hls-first": hls(*segment("neighbor.mov")) + sound,
    }
    named = {f"{kind}{suffix}": data for kind, data in made.items() for suffix in
             ((".mp4", ".m3u8", ".avi") if kind.startswith("hls") else (".mp4", ".mov"))}
    named["itself.mp4"] = hls("#EXT-X-STREAM-INF:BANDWIDTH=1000", "itself.mp4")
    named["itself.m3u8"] = hls("#EXT-X-STREAM-INF:BANDWIDTH=1000", "itself.m3u8")
    named["vobsub.idx"] = made["vobsub"]
    for name in ("frame%03d.png", "frame%d.png", "frame*.png", "frame[0-9].png"):
        named[name] = png()
    return named


# What only looks like a file's name; none has it.
NAMES = ("concat:neighbor.mov|neighbor.mov", "subfile,,start,0,end,4096,,:neighbor.mov", "file:neighbor.mov",
         "cache:neighbor.mov", "async:neighbor.mov", "crypto:neighbor.mov", "http://127.0.0.1:9/a.mp4",
         "tcp://127.0.0.1:9", "udp://127.0.0.1:9", "rtp://127.0.0.1:9", "data:video/mp4;base64,AAAA", "pipe:0", "-")


def polyglots(sound):
    """Sound videos with something beside: they are read, and nothing else is."""
    return {"sound.mov": sound, "after.mov": sound + hls(*segment("neighbor.mov")),
            "after-box.mov": sound + box(b"free", b"ffconcat version 1.0\nfile neighbor.mov\n"), "named%03d.mov": sound}


# ---- the watcher

def strace_works():
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-f", "--seccomp-bpf", "-o", "/dev/null", "true"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, check=False).returncode == 0


TRACED = re.compile(r'\b(open|openat|openat2|creat|execve|socket|connect)\((?:[^"]*?"((?:[^"\\]|\\.)*)")?')


class Media:
    def __init__(self):
        self.strace = strace_works()
        self.needed = {}  # by command: what is opened elsewhere for a sound video
        self.frames = None  # of the sound video

    def trials(self, lab, rng):
        names = [*files(lab.work, b""), *NAMES, *polyglots(b"")]
        # A colon would end the name.
        names = [name.replace(":", "%3A") for name in names]
        return trial.spread([[f"{name}:{command}" for name in names if command != "shard" or "%3A" not in name]
                             for command in COMMANDS], rng)

    def run(self, lab, arguments):
        name, command = arguments.split(":")
        name = name.replace("%3A", ":")
        sound = mov()
        if command not in self.needed:
            # What the command opens anyway; the network and the run's own files are not the video's doing.
            folder = self.folder(lab, sound)
            (folder / "data/sound.mov").write_bytes(sound)
            ended, opened = self.watched(lab, folder, "sound.mov", command)
            lab.alive(ended)
            if ended.code != 0:
                raise Failure(f"the sound video is refused: {ended.last_line()}")
            self.needed[command] = {path for path in opened if not path.is_relative_to(folder)}
        folder = self.folder(lab, sound)
        read = polyglots(sound).get(name)
        bytes_of = read if read is not None else files(folder, sound).get(name)
        if bytes_of is not None:
            (folder / "data" / name).write_bytes(bytes_of)
        ended, opened = self.watched(lab, folder, name, command)
        self.only_it(lab, folder, name, command, opened)
        lab.alive(ended)
        if command in ("train", "audit") and bytes_of is None and ended.code == 0:
            return REFUSED  # listed, and not there
        if command in ("train", "shard") and ended.code == 0 and read is None:
            bad = folder / "run/bad_videos.jsonl"
            if not bad.exists() or bad.stat().st_size == 0:
                raise Failure("what is no video is trained on")
            return REFUSED
        if ended.code == 0 and read is None and not name.endswith(".png"):
            raise Failure(f"what is no video is read as one: {ended.out[:200]}")
        if ended.code != 0:
            if read is not None:
                raise Failure(f"a sound video is refused: {ended.last_line()}")
            if command == "audit" and ended.code == 3:
                return REFUSED  # the list of faults is its result
            lab.refusal(ended)
            return REFUSED
        if command == "frames":
            self.same_frames(lab, folder)
        return IDENTICAL

    def folder(self, lab, sound):
        """data/ with videos that are not named, secret/ beside it."""
        folder = lab.folder()
        for name in ("data", "secret", "out"):
            (folder / name).mkdir()
        for name in ("secret/secret.mov", "data/neighbor.mov", "data/vobsub.sub"):
            (folder / name).write_bytes(sound)
        (folder / "data/other.m3u8").write_bytes(hls(*segment(str(folder / "secret/secret.mov"))))
        (folder / "data/ASSETMAP.xml").write_bytes(b"<AssetMap/>")
        for i in range(3):
            (folder / f"data/frame{i:03}.png").write_bytes(png())
            (folder / f"data/frame{i}.png").write_bytes(png())
        return folder

    def watched(self, lab, folder, name, command):
        """Runs a command on a file; how it ended, and all paths that it opened."""
        arguments = self.arguments(lab, folder, name, command)
        trace = lab.work / "trace"
        trace.unlink(missing_ok=True)
        wrap = []
        if self.strace:
            wrap = ["strace", "-f", "--seccomp-bpf", "-qq", "-e",
                    "trace=open,openat,openat2,creat,execve,socket,connect", "-s", 4096, "-o", trace]

        def prepare():
            # A file that makes the command open itself without end must not take this machine's memory.
            if not lab.sanitized:
                resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
        ended = lab.run(arguments, folder, attack="", wrap=wrap, preexec_fn=prepare)
        lines = [f"open {line.split(' ', 3)[3]}" if line.startswith("call open ") else line for line in ended.log]
        if trace.exists():
            for line in trace.read_text(errors="replace").splitlines():
                if found := TRACED.search(line):
                    word = {"execve": "exec", "socket": "socket", "connect": "connect"}.get(found[1], "open")
                    lines.append(f"{word} {found[2] or ''}")
        allowed_programs = {"", lab.mcn}
        for line in lines:
            word, _, rest = line.partition(" ")
            if word in ("socket", "connect"):
                raise Failure(f"a {word} is made")
            if word == "exec" and rest not in allowed_programs:
                raise Failure(f"a program is started: {rest}")
        opened = [pathlib.Path(os.path.normpath(folder / line[5:])) for line in lines if line.startswith("open ")]
        return ended, opened

    def arguments(self, lab, folder, name, command):
        file = f"data/{name}" if "://" not in name and name != "-" else name
        checkpoint = lab.base / LAST
        network = ["--checkpoint", checkpoint, "--clips", 1, "--threads", 1, "--loader-threads", 1, "--index-cache", ""]
        if command == "inspect":
            return ["inspect", "--", file]
        if command == "frames":
            return ["frames", "--at", "0,7", "--out", "out/frames.npy", "--", file]
        if command == "embed":
            return ["embed", *network, "--out", "out/features.npz", "--", file]
        # A batch is all there are: none is left unread.
        training = [*lab.train(iterations=1, data="set"), "--max-bad", 100]
        data = folder / "set"
        data.mkdir()
        videos = sorted(path for path in lab.data.rglob("*") if path.suffix in (".avi", ".mp4"))[:3]
        if command == "shard":
            (data / "train").mkdir()
            with tarfile.open(data / "train/shard-000000.tar", "w") as shard:
                for i, video in enumerate([*videos, folder / "data" / name]):
                    if video.exists():
                        shard.add(video, f"{i}.mp4")
                        (folder / "out/label").write_text("0")
                        shard.add(folder / "out/label", f"{i}.cls")
            return [*training, "--format", "webdataset"]
        (data / "train.txt").write_text("".join(f"{path} 0\n" for path in [*videos, folder / "data" / name]))
        if command == "audit":
            return ["audit", "--data", "set", "--format", "list", "--subset", "train", "--frames", 4, "--threads", 1]
        return [*training, "--format", "list"]

    def only_it(self, lab, folder, name, command, opened):
        if len(opened) > MOST_OPENS:
            raise Failure(f"{len(opened)} opens")
        own = [folder / "out", folder / "run", folder / "set", folder / "cache", lab.data, lab.base / "run"]
        for path in opened:
            if path == folder / "data" / name or path in self.needed[command] or str(path).startswith(SYSTEM):
                continue
            if any(path.is_relative_to(root) for root in own) or path == folder:
                continue
            if path == folder / "data" and path.is_dir():
                continue
            raise Failure(f"opens {path}")

    def same_frames(self, lab, folder):
        got = (folder / "out/frames.npy").read_bytes()
        if self.frames is None:
            self.frames = got
        if got != self.frames:
            raise Failure("other frames than of the sound video")


KINDS = {"media": Media()}
