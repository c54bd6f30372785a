import json
import os
import threading
import time
from pathlib import Path

import av
import pytest
from nerdrain_gui.file_facts import read_facts
from nerdrain_gui.job_queue import JobQueue
from nerdrain_gui.jobs import FileJob, JobOptions, State, free_target, read_jobs, write_jobs
from PyQt6.QtCore import Qt

from nerdrain_rt.derainer import Derainer
from nerdrain_rt.pipeline import derain_video
from tests import clips
from tests.gui.conftest import wait_until


@pytest.fixture
def clip(tmp_path):
    return clips.video(tmp_path / "rain.mp4", size=(32, 32), frames=12)


def frame_count(path):
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def leftovers(folder: Path):
    return [path for path in folder.iterdir() if ".partial" in path.name]


def test_a_video_is_derained_and_its_streams_told_of(queue, clip):
    ended = []
    queue.finished.connect(lambda *counts: ended.append(counts))
    queue.add([str(clip)], JobOptions())
    queue.start()
    wait_until(lambda: ended)
    job = queue.jobs[0]
    assert (job.state, job.message) == (State.DONE, "")
    assert job.target == str(clip.with_name("rain_derained.mp4"))
    assert frame_count(job.target) == 12
    assert [stream["action"] for stream in job.streams] == ["derained"]
    assert ended == [(1, 0)]


def test_a_picture_is_derained(queue, tmp_path):
    from PIL import Image

    Image.new("RGB", (32, 32), "gray").save(tmp_path / "rain.png")
    queue.add([str(tmp_path / "rain.png")], JobOptions())
    queue.start()
    wait_until(lambda: queue.jobs[0].state.is_over)
    assert queue.jobs[0].state == State.DONE
    assert (tmp_path / "rain_derained.png").is_file()


def test_options_reach_the_work(queue, clip, backend, tmp_path):
    queue.add([str(clip)], JobOptions(str(tmp_path / "out"), "ffv1", 1.0, 0.5))
    queue.jobs[0].source = str(clip.rename(tmp_path / "rain.mkv"))
    queue.start()
    wait_until(lambda: queue.jobs[0].state.is_over)
    assert queue.jobs[0].message == ""
    with av.open(str(tmp_path / "out" / "rain_derained.mkv")) as container:
        assert container.streams.video[0].codec_context.name == "ffv1"
    assert set(backend.shapes) == {(1, 3, 16, 16)}


@pytest.mark.parametrize("compares_frames", [True, False])
def test_frames_are_compared_where_that_is_chosen(app, clip, backend, tmp_path, compares_frames):
    derainer = Derainer(backend=backend)
    queue = JobQueue(load=lambda network: derainer, path=tmp_path / "queue.json")
    queue.add([str(clip)], JobOptions(compares_frames=compares_frames))
    queue.start()
    wait_until(lambda: queue.jobs[0].state.is_over)
    assert queue.jobs[0].state == State.DONE
    assert derainer.compares_frames is compares_frames
    queue.shut_down(5)


@pytest.mark.parametrize("gpu", [0, None])
def test_a_graphics_card_decodes_where_that_is_chosen_and_the_network_runs_on_it(queue, clip, monkeypatch, gpu):
    decoded = []

    def derain(*arguments, decode_on_gpu, **options):
        decoded.append(decode_on_gpu)
        return derain_video(*arguments, **options)

    monkeypatch.setattr("nerdrain_rt.pipeline.derain_video", derain)
    monkeypatch.setattr(Derainer, "gpu", gpu)
    queue.add([str(clip)], JobOptions(decodes_on_gpu=True))
    queue.start()
    wait_until(lambda: queue.jobs[0].state.is_over)
    assert queue.jobs[0].state == State.DONE
    assert decoded == [gpu is not None]
    assert queue.jobs[0].warnings == ["Decoded on the processor, because the network ran there"] * (gpu is None)


def test_a_damaged_file_fails_and_the_next_is_done(queue, clip, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a video")
    queue.add([str(broken), str(clip)], JobOptions())
    queue.start()
    wait_until(lambda: all(job.state.is_over for job in queue.jobs))
    assert [job.state for job in queue.jobs] == [State.FAILED, State.DONE]
    assert "broken.mp4" in queue.jobs[0].message
    assert "\n" not in queue.jobs[0].message


def test_cancelled_job_leaves_nothing_and_can_be_done_again(queue, clip, backend):
    backend.seconds = 0.05
    queue.add([str(clip)], JobOptions())
    queue.start()
    wait_until(lambda: queue.jobs[0].frames_done > 1)
    queue.cancel(queue.jobs)
    wait_until(lambda: queue.current is None)
    assert queue.jobs[0].state == State.CANCELLED
    assert not leftovers(clip.parent)
    assert not clip.with_name("rain_derained.mp4").exists()
    backend.seconds = 0
    queue.retry(queue.jobs)
    wait_until(lambda: queue.jobs[0].state.is_over)
    assert queue.jobs[0].state == State.DONE


def test_paused_job_stands_still_and_goes_on(queue, clip, backend):
    backend.seconds = 0.03
    queue.add([str(clip)], JobOptions())
    queue.start()
    wait_until(lambda: queue.jobs[0].frames_done > 0)
    queue.pause()
    assert queue.jobs[0].state == State.PAUSED
    time.sleep(0.3)
    calls = len(backend.shapes)
    time.sleep(0.3)
    assert len(backend.shapes) == calls < 12
    queue.start()
    wait_until(lambda: queue.jobs[0].state.is_over)
    assert queue.jobs[0].state == State.DONE
    assert frame_count(queue.jobs[0].target) == 12


def test_jobs_are_done_in_the_order_they_were_moved_to(queue, tmp_path):
    names = ["a", "b", "c"]
    for name in names:
        clips.video(tmp_path / f"{name}.mp4", size=(32, 32), frames=2)
    queue.add([str(tmp_path / f"{name}.mp4") for name in names], JobOptions())
    queue.move(queue.jobs[2], -2)
    queue.move(queue.jobs[1], 5)
    assert [Path(job.source).stem for job in queue.jobs] == ["c", "b", "a"]
    order = []
    queue.progressed.connect(lambda: queue.current and order.append(Path(queue.current.source).stem))
    queue.start()
    wait_until(lambda: all(job.state == State.DONE for job in queue.jobs))
    assert list(dict.fromkeys(order)) == ["c", "b", "a"]


def test_the_same_file_waits_only_once(queue, clip):
    assert queue.add([str(clip), str(clip)], JobOptions()) == 1
    assert queue.add([str(clip)], JobOptions()) == 0


def test_queue_survives_a_restart(queue, clip, load, backend, tmp_path):
    backend.seconds = 0.05
    other = str(tmp_path / "ü other.mp4")
    queue.add([str(clip), other], JobOptions(strength=0.5))
    queue.start()
    wait_until(lambda: queue.jobs[0].frames_done > 0)
    assert queue.shut_down(5)
    again = JobQueue(load=load, path=tmp_path / "queue.json")
    assert [(job.source, job.state) for job in again.jobs] == [(str(clip), State.WAITING), (other, State.WAITING)]
    assert again.jobs[0].options.strength == 0.5
    assert again.jobs[0].frames_done == 0
    assert not leftovers(clip.parent)


def test_a_second_window_begins_with_an_empty_queue_and_leaves_the_first_ones_alone(queue, clip, load, tmp_path):
    queue.add([str(clip)], JobOptions())
    queue.save()

    second = JobQueue(load=load, path=tmp_path / "queue.json")
    assert second.jobs == []
    second.add([str(tmp_path / "other.mp4")], JobOptions())
    second.shut_down(5)

    assert [job.source for job in read_jobs(tmp_path / "queue.json")] == [str(clip)]
    queue.shut_down(5)
    third = JobQueue(load=load, path=tmp_path / "queue.json")
    assert [job.source for job in third.jobs] == [str(clip)]
    third.shut_down(5)


def test_finished_jobs_keep_their_report_over_a_restart(queue, clip, load, tmp_path):
    queue.add([str(clip)], JobOptions())
    queue.start()
    wait_until(lambda: queue.jobs[0].state.is_over)
    queue.shut_down(5)
    job = JobQueue(load=load, path=tmp_path / "queue.json").jobs[0]
    assert job.state == State.DONE
    assert job.streams[0]["action"] == "derained"


def test_the_queue_is_kept_while_it_works(queue, clip, backend, tmp_path):
    backend.seconds = 0.1
    queue.add([str(clip)], JobOptions())
    queue.start()
    wait_until((tmp_path / "queue.json").exists)
    assert queue.current is not None


def test_a_finished_job_is_kept_at_once(queue, clip, tmp_path):
    queue.add([str(clip)], JobOptions())
    queue.start()
    wait_until(lambda: queue.current is None)
    assert [job.state for job in read_jobs(tmp_path / "queue.json")] == [State.DONE]


def test_a_queue_of_an_older_version_has_the_options_that_are_new_as_usual(tmp_path):
    write_jobs(tmp_path / "queue.json", [FileJob("x.mp4", JobOptions(codec="ffv1"))])
    content = json.loads((tmp_path / "queue.json").read_text())
    for option in ("compares_frames", "decodes_on_gpu"):
        del content["jobs"][0]["options"][option]
    (tmp_path / "queue.json").write_text(json.dumps(content))
    assert read_jobs(tmp_path / "queue.json")[0].options == JobOptions(codec="ffv1")


def test_a_row_tells_a_screen_reader_how_it_stands(queue, clip):
    queue.add([str(clip)], JobOptions())
    queue.start()
    wait_until(lambda: queue.jobs[0].state.is_over)
    assert queue.data(queue.index(0, 0), Qt.ItemDataRole.AccessibleTextRole) == "rain.mp4, Done, 100 %"


@pytest.mark.parametrize("content", ["", "[]", "{", '{"format": 9, "jobs": []}', '{"format": 1, "jobs": [{"x": 1}]}'])
def test_a_damaged_queue_file_is_an_empty_queue(tmp_path, content):
    (tmp_path / "queue.json").write_text(content)
    assert read_jobs(tmp_path / "queue.json") == []


def test_a_queue_that_cannot_be_kept_is_told_of(app, load, tmp_path):
    (tmp_path / "file").write_text("")
    queue = JobQueue(load=load, path=tmp_path / "file" / "queue.json")
    told = []
    queue.failed.connect(told.append)
    queue.save()
    assert len(told) == 1
    assert "queue" in told[0]


def test_written_queue_is_whole_json(tmp_path):
    write_jobs(tmp_path / "queue.json", [FileJob("x.mp4")])
    assert json.loads((tmp_path / "queue.json").read_text())["jobs"][0]["source"] == "x.mp4"
    assert [path.name for path in tmp_path.iterdir()] == ["queue.json"]


def test_targets_never_overwrite(tmp_path):
    job = FileJob(str(tmp_path / "a.mp4"))
    assert free_target(job).name == "a_derained.mp4"
    (tmp_path / "a_derained.mp4").touch()
    assert free_target(job).name == "a_derained-2.mp4"


def test_weights_that_cannot_be_loaded_fail_the_job_in_one_line(app, clip, tmp_path):
    def refuse(network):
        from nerdrain_rt.errors import WeightsError

        raise WeightsError("nerdrain-s: damaged; install again")

    queue = JobQueue(load=refuse, path=tmp_path / "queue.json")
    queue.add([str(clip)], JobOptions())
    queue.start()
    wait_until(lambda: queue.jobs[0].state.is_over)
    assert queue.jobs[0].message == "nerdrain-s: damaged; install again"
    queue.shut_down(5)


def test_shutting_down_within_a_slow_frame_gives_up_waiting_and_clears_up(queue, clip, backend):
    backend.seconds = 2.0
    queue.add([str(clip)], JobOptions())
    queue.start()
    wait_until(lambda: backend.shapes and leftovers(clip.parent))
    started = time.monotonic()
    assert not queue.shut_down(0.2)
    queue.discard_leftovers()
    assert time.monotonic() - started < 1
    assert not leftovers(clip.parent)


def test_a_file_that_cannot_be_removed_while_it_is_open_is_waited_for(queue, clip, backend, monkeypatch):
    backend.seconds = 1.0
    queue.add([str(clip)], JobOptions())
    queue.start()
    wait_until(lambda: backend.shapes and leftovers(clip.parent))
    assert not queue.shut_down(0.1)
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if threading.current_thread() is threading.main_thread():
            raise PermissionError(13, "used by another process")  # as Windows says
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    queue.discard_leftovers()
    assert not leftovers(clip.parent)


def test_a_turned_clip_is_listed_upright(app, tmp_path):
    facts = read_facts(clips.video(tmp_path / "turned.mp4", size=(48, 64), frames=2, rotation=90))
    assert facts.size == (64, 48)


def test_a_clip_with_broken_tags_is_listed_with_its_picture(app, tmp_path):
    mjpeg = {"codec": "mjpeg", "pixel_format": "yuvj420p", "metadata": {"title": "Koeln"}}
    clip = clips.video(tmp_path / "rain.avi", size=(48, 64), frames=2, **mjpeg)
    clip.write_bytes(clip.read_bytes().replace(b"Koeln", b"K\xf6\xf6ln"))
    assert read_facts(clip).size == (48, 64)


def test_a_file_in_a_folder_that_may_be_listed_only_has_no_facts(tmp_path, monkeypatch):
    def refuse(self, **_):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "stat", refuse)
    facts = read_facts(tmp_path / "clip.mp4")
    assert (facts.image.isNull(), facts.size, facts.bytes) == (True, (0, 0), 0)


def test_a_queue_keeps_names_that_are_not_unicode(tmp_path):
    job = FileJob(os.fsdecode(b"/rain/K\xf6ln.mp4"))
    write_jobs(tmp_path / "queue.json", [job])
    assert read_jobs(tmp_path / "queue.json") == [job]
