"""Groups of files, and what happens when a worker dies with one."""

from __future__ import annotations

from maskdet.batch.tasks import BatchTask, make_tasks
from tests.batch.batch_files import make_file


def test_a_task_has_files_of_one_kind_and_day() -> None:
    files = [make_file(f"{number}.jpg", day=number % 2) for number in range(40)]
    files.append(make_file("a.mp4", "video"))
    tasks = make_tasks(files, 1)
    assert sorted(file.path for task in tasks for file in task.files) == sorted(
        file.path for file in files
    )
    for task in tasks:
        assert len({(file.kind, file.day) for file in task.files}) == 1
    assert max(len(task.files) for task in tasks) > 1


def test_long_videos_come_first_and_alone() -> None:
    files = [
        make_file("a.jpg"),
        *(
            make_file(f"{number}.mp4", "video", size_bytes=10**6)
            for number in range(20)
        ),
        make_file("long.mp4", "video", size_bytes=10**9),
    ]
    first, *others = make_tasks(files, 1)
    assert [file.path for file in first.files] == ["long.mp4"]
    assert [file.path for file in others[-1].files] == ["a.jpg"]
    assert max(len(task.files) for task in others) > 1


def test_a_small_batch_is_for_all_workers() -> None:
    files = [make_file(f"{number}.jpg") for number in range(8)]
    assert len(make_tasks(files, 4)) == 8


def test_files_are_tried_again_until_the_one_to_blame_is_known() -> None:
    files = tuple(make_file(name) for name in ("a.jpg", "b.jpg"))
    (again,) = BatchTask(files).retry()
    assert again.files == files
    alone = again.retry()
    assert [task.files for task in alone] == [(file,) for file in files]
    assert alone[0].retry() == []


def test_a_single_file_is_tried_twice() -> None:
    (again,) = BatchTask((make_file("a.mp4", "video"),)).retry()
    assert again.retry() == []
