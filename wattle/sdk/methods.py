"""The operations as methods: one line each, with the types of `core/requests.py` and `core/replies.py`.

    with wattle.connect() as client:
        client.start_workflow("etl", params={"day": 7})
        for change in client.watch_run("etl"):
            print(change.run.status)

Laws: a method asks its row of the table and nothing else; a test compares each with that row. Replies become structs
here, so that only who wants structs pays for msgspec: the command line uses `ask` and `stream`, which give plain data.
"""

from __future__ import annotations

from wattle.core.operations import BY_NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Literal

    from wattle.core import replies
    from wattle.core.requests import Format, Status

    Rank = Literal["server", "background", "foreground"]
    Stream = Literal["stdout", "stderr"]


class Methods:
    """What `Client` can be asked."""

    environment: dict[str, str] | None = None
    """The base environment of the runs that are started here; None is the coordinator's own."""
    base_dir: str | None = None
    """What a document's relative working directory is relative to; None is a folder in the state root."""

    if TYPE_CHECKING:

        def ask(self, operation: str, /, **fields: Any) -> dict[str, Any]: ...

        def stream(self, operation: str, /, **fields: Any) -> Iterator[tuple[str, dict[str, Any]]]: ...

    def _one(self, operation: str, /, **fields: Any) -> Any:
        return _typed(operation, self.ask(operation, **fields))

    def _many(self, operation: str, /, **fields: Any) -> Iterator[Any]:
        return (_typed(operation, data) for _, data in self.stream(operation, **fields))

    def list_workflows(self, *, limit: int = 500, offset: int = 0, status: Status | None = None,
                       tag: str | None = None) -> replies.WorkflowList:  # fmt: skip
        return self._one("list_workflows", limit=limit, offset=offset, status=status, tag=tag)

    def create_workflow(self, *, document: dict[str, Any] | None = None, text: str | None = None,
                        format: Format = "yaml", base_dir: str | None = None, source: str = "",
                        name: str | None = None, replace: bool = False) -> replies.WorkflowDetail:  # fmt: skip
        return self._one("create_workflow", document=document, text=text, format=format, source=source, name=name,
                         base_dir=base_dir or self.base_dir, replace=replace)  # fmt: skip

    def get_workflow(self, workflow: str) -> replies.WorkflowDetail:
        return self._one("get_workflow", workflow=workflow)

    def replace_workflow(self, workflow: str, *, document: dict[str, Any] | None = None, text: str | None = None,
                         format: Format = "yaml", base_dir: str | None = None, source: str = "",
                         name: str | None = None, replace: bool = False,
                         if_match: str | None = None) -> replies.WorkflowDetail:  # fmt: skip
        return self._one("replace_workflow", workflow=workflow, document=document, text=text, format=format,
                         base_dir=base_dir or self.base_dir, source=source, name=name, replace=replace,
                         if_match=if_match)  # fmt: skip

    def delete_workflow(self, workflow: str, *, if_match: str | None = None) -> replies.Done:
        return self._one("delete_workflow", workflow=workflow, if_match=if_match)

    def start_workflow(self, workflow: str, *, params: dict[str, Any] | None = None, jobs: int | None = None,
                       stale: bool = False, environment: dict[str, str] | None = None,
                       key: str | None = None) -> replies.RunDetail:  # fmt: skip
        return self._one("start_workflow", workflow=workflow, params=params or {}, jobs=jobs, stale=stale,
                         environment=environment or self.environment, key=key)  # fmt: skip

    def stop_workflow(self, workflow: str, *, grace: float | None = None) -> replies.RunDetail:
        return self._one("stop_workflow", workflow=workflow, grace=grace)

    def rerun_workflow(self, workflow: str, *, from_worker: str | None = None, failed: bool = False,
                       jobs: int | None = None, environment: dict[str, str] | None = None,
                       key: str | None = None) -> replies.RunDetail:  # fmt: skip
        return self._one("rerun_workflow", workflow=workflow, from_worker=from_worker, failed=failed, jobs=jobs,
                         environment=environment, key=key)  # fmt: skip

    def plan_workflow(self, workflow: str, *, params: dict[str, Any] | None = None, jobs: int | None = None,
                      stale: bool = False, environment: dict[str, str] | None = None,
                      document: dict[str, Any] | None = None, text: str | None = None,
                      format: Format = "yaml", base_dir: str | None = None) -> replies.Plan:  # fmt: skip
        return self._one("plan_workflow", workflow=workflow, params=params or {}, jobs=jobs, stale=stale,
                         environment=environment or self.environment, document=document, text=text, format=format,
                         base_dir=base_dir or self.base_dir)  # fmt: skip

    def get_plan(self, workflow: str, *, params: str = "{}", jobs: int | None = None,
                 stale: bool = False) -> replies.Plan:  # fmt: skip
        return self._one("get_plan", workflow=workflow, params=params, jobs=jobs, stale=stale)

    def list_workers(self, workflow: str) -> replies.RunDetail:
        return self._one("list_workers", workflow=workflow)

    def list_runs(self, workflow: str, *, limit: int = 100, before: int | None = None,
                  status: Status | None = None) -> replies.RunList:  # fmt: skip
        return self._one("list_runs", workflow=workflow, limit=limit, before=before, status=status)

    def list_all_runs(self, *, limit: int = 100, before: int | None = None, status: Status | None = None,
                      active: bool = False) -> replies.RunList:  # fmt: skip
        return self._one("list_all_runs", limit=limit, before=before, status=status, active=active)

    def get_run(self, workflow: str, number: int) -> replies.RunDetail:
        return self._one("get_run", workflow=workflow, number=number)

    def watch_run(self, workflow: str, *, after: int = 0) -> Iterator[replies.RunChange]:
        return self._many("watch_run", workflow=workflow, after=after)

    def get_graph(self, workflow: str) -> replies.Graph:
        return self._one("get_graph", workflow=workflow)

    def get_progress(self, workflow: str) -> replies.RunProgress:
        return self._one("get_progress", workflow=workflow)

    def get_timeline(self, workflow: str) -> replies.Timeline:
        return self._one("get_timeline", workflow=workflow)

    def get_worker(self, workflow: str, worker: str) -> replies.WorkerDetail:
        return self._one("get_worker", workflow=workflow, worker=worker)

    def delete_worker(self, workflow: str, worker: str) -> replies.WorkflowDetail:
        return self._one("delete_worker", workflow=workflow, worker=worker)

    def get_worker_schema(self, workflow: str, worker: str) -> replies.WorkerSchema:
        return self._one("get_worker_schema", workflow=workflow, worker=worker)

    def get_worker_metrics(self, workflow: str, worker: str) -> replies.WorkerMetrics:
        return self._one("get_worker_metrics", workflow=workflow, worker=worker)

    def start_worker(self, workflow: str, worker: str, *, environment: dict[str, str] | None = None,
                     key: str | None = None) -> replies.RunDetail:  # fmt: skip
        return self._one("start_worker", workflow=workflow, worker=worker,
                         environment=environment or self.environment, key=key)  # fmt: skip

    def stop_worker(self, workflow: str, worker: str) -> replies.RunDetail:
        return self._one("stop_worker", workflow=workflow, worker=worker)

    def restart_worker(self, workflow: str, worker: str, *, key: str | None = None) -> replies.RunDetail:
        return self._one("restart_worker", workflow=workflow, worker=worker, key=key)

    def read_logs(self, workflow: str, worker: str, *, stream: Stream | None = None,
                  attempt: int | None = None, offset: int = 0, limit: int = 1048576,
                  tail: int | None = None) -> replies.LogChunks:  # fmt: skip
        return self._one("read_logs", workflow=workflow, worker=worker, stream=stream, attempt=attempt, offset=offset,
                         limit=limit, tail=tail)  # fmt: skip

    def follow_logs(self, workflow: str, worker: str, *, stream: Stream | None = None,
                    position: str | None = None, tail: int | None = None) -> Iterator[replies.LogChunk]:  # fmt: skip
        return self._many("follow_logs", workflow=workflow, worker=worker, stream=stream, position=position, tail=tail)

    def list_outputs(self, workflow: str, worker: str) -> replies.OutputList:
        return self._one("list_outputs", workflow=workflow, worker=worker)

    def get_output(self, workflow: str, worker: str, port: str) -> replies.OutputDetail:
        return self._one("get_output", workflow=workflow, worker=worker, port=port)

    def preview_output(self, workflow: str, worker: str, port: str) -> replies.OutputPreview:
        return self._one("preview_output", workflow=workflow, worker=worker, port=port)

    def put_progress(self, workflow: str, worker: str, *, fraction: float | None = None, text: str = "",
                     attempt: int | None = None) -> replies.WorkerProgress:  # fmt: skip
        return self._one("put_progress", workflow=workflow, worker=worker, fraction=fraction, text=text,
                         attempt=attempt)  # fmt: skip

    def put_output(self, workflow: str, worker: str, port: str, *, value: Any,
                   attempt: int | None = None) -> replies.OutputDetail:  # fmt: skip
        return self._one("put_output", workflow=workflow, worker=worker, port=port, value=value, attempt=attempt)

    def follow_events(self, workflow: str, *, after: int = 0, follow: bool = True) -> Iterator[replies.EventLine]:
        return self._many("follow_events", workflow=workflow, after=after, follow=follow)

    def follow_all_events(self, *, after: int = 0, follow: bool = True) -> Iterator[replies.EventLine]:
        return self._many("follow_all_events", after=after, follow=follow)

    def follow_many(self, *, runs: str = "", logs: str = "", events: bool = False, after: int | None = None,
                    tail: int | None = None, position: str | None = None) -> Iterator[replies.TopicItem]:  # fmt: skip
        return self._many("follow_many", runs=runs, logs=logs, events=events, after=after, tail=tail,
                          position=position)  # fmt: skip

    def validate_document(self, *, document: dict[str, Any] | None = None, text: str | None = None,
                          format: Format = "yaml", base_dir: str | None = None,
                          draw: bool = False) -> replies.Validation:  # fmt: skip
        return self._one("validate_document", document=document, text=text, format=format, base_dir=base_dir,
                         draw=draw)  # fmt: skip

    def get_health(self) -> replies.Health:
        return self._one("get_health")

    def prune_runs(self, *, workflow: str | None = None, older_than: float = 0.0, keep: int = 0,
                   dry_run: bool = True) -> replies.Pruned:  # fmt: skip
        return self._one("prune_runs", workflow=workflow, older_than=older_than, keep=keep, dry_run=dry_run)

    def hand_over(self, *, rank: Rank | None = None,
                  stop_runs: bool = False) -> replies.Done:  # fmt: skip
        return self._one("hand_over", rank=rank, stop_runs=stop_runs)


def _typed(operation: str, data: dict[str, Any]) -> Any:
    from msgspec import convert

    from wattle.core import replies

    return convert(data, getattr(replies, BY_NAME[operation].reply))
