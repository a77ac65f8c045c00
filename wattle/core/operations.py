"""The one table of operations, from which every face is made.

A row is an operation that a person can ask for: its name, which is also the method of the service; verb and path
for HTTP; the types of its request and reply (in `core/requests.py` and `core/replies.py`, named here as text so
that a command line can read this table without importing msgspec); whether the reply is a stream; what right it
needs; the words of the CLI and the magics that reach it; and one line of help. `LOCAL` lists the words that have
no operation of their own.

In a path, `{workflow}` is an address: `etl`, or `etl@12` where a run is meant. `{worker}` is a worker or instance.
"""

from __future__ import annotations

from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple

    class Operation(NamedTuple):
        """A row of the table."""

        name: str
        verb: str
        path: str
        request: str
        reply: str
        stream: bool
        access: str
        words: tuple[str, ...]
        help: str
else:
    Operation = namedtuple("Operation", "name verb path request reply stream access words help")

READ, WRITE, EXECUTE = "read", "write", "execute"


def _row(name: str, verb: str, path: str, request: str, reply: str, access: str, words: str, text: str,
         *, stream: bool = False) -> Operation:  # fmt: skip
    return Operation(name, verb, path, request, reply, stream, access, tuple(words.split()), text)


OPERATIONS: tuple[Operation, ...] = (
    _row("list_workflows", "GET", "/api/workflows", "ListWorkflows", "WorkflowList", READ, "list",
         "All workflows with their latest run"),
    _row("create_workflow", "POST", "/api/workflows", "CreateWorkflow", "WorkflowDetail", WRITE, "create import",
         "Save a workflow document under its name"),
    _row("get_workflow", "GET", "/api/workflows/{workflow}", "GetWorkflow", "WorkflowDetail", READ, "show export",
         "One workflow: its document and its latest run"),
    _row("replace_workflow", "PUT", "/api/workflows/{workflow}", "ReplaceWorkflow", "WorkflowDetail", WRITE, "create",
         "Replace a workflow's document"),
    _row("delete_workflow", "DELETE", "/api/workflows/{workflow}", "DeleteWorkflow", "Done", WRITE, "delete",
         "Remove a definition; its runs stay until they are pruned"),
    _row("start_workflow", "POST", "/api/workflows/{workflow}/start", "StartWorkflow", "RunDetail", EXECUTE, "run",
         "Start a run"),
    _row("stop_workflow", "POST", "/api/workflows/{workflow}/stop", "StopWorkflow", "RunDetail", EXECUTE, "stop",
         "Stop a run and every process of it"),
    _row("rerun_workflow", "POST", "/api/workflows/{workflow}/rerun", "RerunWorkflow", "RunDetail", EXECUTE, "rerun",
         "A new run like an earlier one, taking over what need not run again"),
    _row("plan_workflow", "POST", "/api/workflows/{workflow}/plan", "PlanWorkflow", "Plan", EXECUTE, "plan",
         "What a start would run, in which order"),
    _row("get_plan", "GET", "/api/workflows/{workflow}/plan", "GetPlan", "Plan", READ, "plan",
         "What a start of a saved workflow would run, asked by a URL"),
    _row("list_workers", "GET", "/api/workflows/{workflow}/workers", "ListWorkers", "RunDetail", READ, "status",
         "The workers of a run and their states"),
    _row("list_runs", "GET", "/api/workflows/{workflow}/runs", "ListRuns", "RunList", READ, "runs",
         "The runs of a workflow, newest first"),
    _row("list_all_runs", "GET", "/api/wattle/runs", "ListAllRuns", "RunList", READ, "runs status",
         "The runs of all workflows, newest first"),
    _row("get_run", "GET", "/api/workflows/{workflow}/runs/{number}", "GetRun", "RunDetail", READ, "status",
         "One run with its workers"),
    _row("watch_run", "GET", "/api/workflows/{workflow}/watch", "WatchRun", "RunChange", READ, "attach run wait",
         "A run's states as they change, at most ten times a second, until it ends", stream=True),
    _row("get_graph", "GET", "/api/workflows/{workflow}/graph", "GetGraph", "Graph", READ, "graph",
         "Nodes, edges and positions of a workflow or run"),
    _row("get_progress", "GET", "/api/workflows/{workflow}/progress", "GetProgress", "RunProgress", READ, "status",
         "How far the running workers of a run say they are"),
    _row("get_timeline", "GET", "/api/workflows/{workflow}/timeline", "GetTimeline", "Timeline", READ, "gantt",
         "When each worker of a run waited, started and ran"),
    _row("get_worker", "GET", "/api/workers/{workflow}/{worker}", "GetWorker", "WorkerDetail", READ, "show",
         "One worker: definition, attempts, inputs and outputs"),
    _row("delete_worker", "DELETE", "/api/workers/{workflow}/{worker}", "DeleteWorker", "WorkflowDetail", WRITE,
         "delete", "Remove one worker from a definition"),
    _row("get_worker_schema", "GET", "/api/workers/{workflow}/{worker}/schema", "GetWorker", "WorkerSchema", READ,
         "show", "The ports of a worker: names, types, environment variables"),
    _row("get_worker_metrics", "GET", "/api/workers/{workflow}/{worker}/metrics", "GetWorker", "WorkerMetrics", READ,
         "show", "CPU and memory of a worker's attempts, live while it runs"),
    _row("start_worker", "POST", "/api/workers/{workflow}/{worker}/start", "StartWorker", "RunDetail", EXECUTE,
         "start", "Run one worker alone, with inputs of the latest run that has them"),
    _row("stop_worker", "POST", "/api/workers/{workflow}/{worker}/stop", "StopWorker", "RunDetail", EXECUTE, "stop",
         "Stop one worker (or group) of a run"),
    _row("restart_worker", "POST", "/api/workers/{workflow}/{worker}/restart", "RestartWorker", "RunDetail", EXECUTE,
         "restart", "Start a worker's next attempt; after its end, rerun from it"),
    _row("read_logs", "GET", "/api/workers/{workflow}/{worker}/logs", "ReadLogs", "LogChunks", READ, "logs",
         "A piece of a worker's log"),
    _row("follow_logs", "GET", "/api/workers/{workflow}/{worker}/logs/stream", "FollowLogs", "LogChunk", READ, "logs",
         "A worker's log as it grows, to its end", stream=True),
    _row("list_outputs", "GET", "/api/workers/{workflow}/{worker}/outputs", "GetWorker", "OutputList", READ, "get",
         "The outputs of a worker: where they lie, how large they are"),
    _row("get_output", "GET", "/api/workers/{workflow}/{worker}/outputs/{port}", "GetOutput", "OutputDetail", READ,
         "get", "One output: its path, or its value"),
    _row("preview_output", "GET", "/api/workers/{workflow}/{worker}/outputs/{port}/preview", "GetOutput",
         "OutputPreview", READ, "get", "The beginning of an output, by what it is: text, JSON, a picture or bytes"),
    _row("put_progress", "PUT", "/api/workers/{workflow}/{worker}/progress", "PutProgress", "WorkerProgress", WRITE,
         "progress", "Say how far a worker that runs is"),
    _row("put_output", "PUT", "/api/workers/{workflow}/{worker}/outputs/{port}", "PutOutput", "OutputDetail", WRITE,
         "put", "Put a value output of a worker that runs"),
    _row("follow_events", "GET", "/api/workflows/{workflow}/events", "FollowEvents", "EventLine", READ, "events",
         "The events of a workflow from a sequence number on", stream=True),
    _row("follow_all_events", "GET", "/api/wattle/events", "FollowAllEvents", "EventLine", READ, "events",
         "The events of all workflows from a sequence number on", stream=True),
    _row("follow_many", "GET", "/api/wattle/stream", "FollowMany", "TopicItem", READ, "attach",
         "Several runs, logs and the events on one stream", stream=True),
    _row("validate_document", "POST", "/api/wattle/validate", "ValidateDocument", "Validation", READ, "validate",
         "Check a document and report every problem in it"),
    _row("get_health", "GET", "/api/wattle/health", "GetHealth", "Health", READ, "doctor",
         "Who coordinates, since when, and what it is doing"),
    _row("prune_runs", "POST", "/api/wattle/prune", "PruneRuns", "Pruned", WRITE, "prune",
         "Forget old ended runs, their logs and run folders"),
    _row("hand_over", "POST", "/api/wattle/handover", "HandOver", "Done", EXECUTE, "up down",
         "Give the coordination to another process, or end it"),
)  # fmt: skip

UNRECORDED = frozenset({"plan_workflow", "put_progress"})
"""What changes nothing that lasts: it leaves no line in the audit file. A plan needs the right of a start all the same,
because it looks at whatever files a document names; `get_plan` looks at those of a saved one."""

BY_NAME = {operation.name: operation for operation in OPERATIONS}

LOCAL: dict[str, str] = {
    "attach": "Follow a run again, from anywhere",
    "wait": "Wait until a run has ended",
    "export": "Write a workflow as a document",
    "import": "Save the workflows of documents",
    "init": "Write a first wattle.yaml here",
    "new": "Add a worker to wattle.yaml here",
    "demo": "Write an example workflow and run it",
    "tap": "Watch a live edge: how fast, how large, the last messages",
    "sub": "Listen to what a worker publishes, a line each",
    "query": "Ask a worker's service",
    "pub": "Publish from a worker's script",
    "pipe": "Speak for a worker's program, by lines of JSON",
    "up": "Start a coordinator in the background",
    "down": "End the coordinator",
    "serve": "Coordinate in a web server of its own, without Jupyter's notebooks",
    "bus": "How the bus is; certificates and credentials for other hosts",
    "doctor": "Look at this installation and say what is wrong",
    "completion": "Print the completion script of a shell",
    "version": "Print the versions",
}
