"""The page `/wattle`: a run is seen as it goes on, and what a person does there happens."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.pages import begin, gate, node, open_run, open_streams, run_status, script
from tests.helpers import wait_until
from tests.jupyter.servers import Server

if TYPE_CHECKING:
    from playwright.sync_api import Page

EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script>"



def test_a_workflow_is_found_in_the_list_and_opened(page: Page, server: Server) -> None:
    begin(server, "listed", {"a": {"command": "true"}}, description="One that is listed")
    page.goto(f"{server.url}wattle")
    row = page.locator("tr", has_text="One that is listed")
    row.locator("a", has_text="listed").click()
    node(page, "a", "completed").wait_for()
    assert page.url.endswith("#listed")


def test_nodes_change_as_the_run_goes_on_and_a_reload_keeps_all(page: Page, server: Server) -> None:
    folder = begin(server, "gated", {"one": gate(), "two": {"command": "true", "needs": ["one"]}})
    open_run(page, server, "gated@1/one")
    node(page, "one", "running").wait_for()
    node(page, "two", "created").wait_for()
    page.reload()
    node(page, "one", "running").wait_for()
    assert page.locator(".detail h3").inner_text() == "one"
    (folder / "gate").touch()
    for name in ("one", "two"):
        node(page, name, "completed").wait_for()
    assert page.locator(".head .word").inner_text() == "completed"
    wait_until(lambda: page.title() == "✔ gated@1 · Wattle")


def test_a_log_is_followed_by_both_streams_with_its_colours(page: Page, server: Server) -> None:
    before = "printf '\\033[31mred\\033[0m words\\n'; echo oops >&2"
    folder = begin(server, "talker", {"say": {**gate(before=before, after="echo last"), "merge_logs": False}})
    open_run(page, server, "talker@1")
    node(page, "say").click()
    page.locator(".log .line", has_text="red words").wait_for()
    assert page.locator(".log .f1").inner_text() == "red"
    page.locator(".log .line.err", has_text="oops").wait_for()
    assert page.locator(".log .line", has_text="last").count() == 0
    (folder / "gate").touch()
    page.locator(".log .line", has_text="last").wait_for()
    page.locator(".choice button", has_text="stderr").click()
    page.locator(".log .line", has_text="red words").wait_for(state="detached")
    page.locator(".log .line", has_text="oops").wait_for()


def test_stop_asks_first_and_leaves_no_process(page: Page, server: Server) -> None:
    folder = begin(server, "stopped", {"one": gate(before="echo $$ > pid")})
    pid = int(wait_until(lambda: (folder / "pid").exists() and (folder / "pid").read_text().strip()) or 0)
    open_run(page, server, "stopped@1")
    page.locator(".head button", has_text="Stop").click()
    page.locator(".confirm button", has_text="Leave it").click()
    assert run_status(server, "stopped@1") == "running"
    page.locator(".head button", has_text="Stop").click()
    page.locator(".confirm button.danger").click()
    node(page, "one", "cancelled").wait_for()
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"))


def test_a_failure_shows_its_last_words_and_is_rerun_from_there(page: Page, server: Server) -> None:
    folder = begin(server, "faulty", {
        "one": {"command": "true"},
        "two": script("import os\nif not os.path.exists('mended'):\n    raise KeyError('pricee')", needs=["one"]),
    })  # fmt: skip
    open_run(page, server, "faulty@1")
    words = page.locator(".failure pre.words")
    words.wait_for()
    assert "two, line 4:  raise KeyError('pricee')" in words.inner_text()
    assert "KeyError: 'pricee'" in words.inner_text()
    (folder / "mended").touch()
    page.locator(".failure button", has_text="Rerun from here").click()
    node(page, "two", "completed").wait_for()
    assert page.url.endswith("#faulty@2")
    node(page, "one", "reused").wait_for()


def test_what_workers_and_people_wrote_is_never_markup(page: Page, server: Server) -> None:
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(3)"><script>alert(4)</script>{EVIL}</svg>'
    begin(server, "hostile", {"w": script(
        f"import os, sys\nprint({EVIL!r})\nprint({EVIL!r}, file=sys.stderr)\n"
        f"open(os.environ['WATTLE_OUTPUT_PAGE'], 'w').write({EVIL!r})\n"
        f"open(os.environ['WATTLE_OUTPUT_PICTURE'], 'w').write({svg!r})\n"
        f"open(os.environ['WATTLE_OUTPUT_DATA'], 'w').write({json.dumps({EVIL: EVIL})!r})\n"
        f"raise SystemExit({EVIL!r})",
        outputs=["page.html", "picture.svg", "data.json"], description=EVIL)}, description=EVIL)  # fmt: skip
    page.goto(f"{server.url}wattle")
    page.locator("tr", has_text="hostile").wait_for()
    open_run(page, server, "hostile@1")
    node(page, "w", "failed").wait_for()
    page.locator(".failure pre", has_text="onerror").wait_for()
    node(page, "w").click()
    page.locator(".log .line", has_text="onerror").first.wait_for()
    page.locator('[role="tab"]', has_text="In and out").click()
    page.locator(".preview pre", has_text="onerror").first.wait_for()
    page.locator(".preview img").wait_for()
    for tab in ("Attempts", "Definition"):
        page.locator('[role="tab"]', has_text=tab).click()
    page.locator(".scroll pre", has_text="onerror").first.wait_for()
    found = page.evaluate("""() => {
        const root = document.querySelector('#wattle').shadowRoot;
        return [root.querySelectorAll('script, iframe, object, embed, img[src=x], [onerror], [onload]').length,
                document.querySelectorAll('img[src=x]').length];
    }""")
    assert found == [0, 0]


def test_three_hundred_nodes_are_drawn_and_walked_by_keys(page: Page, server: Server) -> None:
    workers: dict[str, Any] = {f"w{i}": {"command": "true", "needs": [f"w{i - 30}"] if i >= 30 else []}
                               for i in range(300)}  # fmt: skip
    begin(server, "many", workers)
    open_run(page, server, "many@1")
    wait_until(lambda: page.locator(".node").count() == 300)
    assert page.locator(".edge").count() == 270
    page.locator('.node[tabindex="0"]').focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.locator(".detail h3", has_text="w60").wait_for()
    wait_until(lambda: page.locator('.node[data-status="completed"]').count() == 300, 60)


def test_a_group_is_one_box_and_its_instances_are_a_list(page: Page, server: Server) -> None:
    begin(server, "grid", {"train": {"each": {"lr": list(range(40))}, "command": "test ${each.lr} != 7"}},
          on_failure="continue")  # fmt: skip
    open_run(page, server, "grid@1")
    node(page, "train", "failed").wait_for()
    assert page.locator(".node").count() == 1
    wait_until(lambda: "39/40 done" in (node(page, "train").text_content() or ""))
    node(page, "train").click()
    page.locator(".detail .choice button", has_text="failed").click()
    page.locator(".member", has_text="train.8").click()
    page.locator(".detail h3", has_text="train.8").wait_for()


def test_a_log_of_a_million_lines_is_read_from_both_ends_with_few_elements(page: Page, server: Server) -> None:
    begin(server, "long", {"w": {"script": "seq -f 'line %.0f' 0 999999"}})
    wait_until(lambda: run_status(server, "long@1") == "completed", 60)
    open_run(page, server, "long@1/w")
    page.locator(".log .line", has_text="line 999999").wait_for()
    rows, scroller = page.locator(".log .line"), page.locator(".log .virtual")

    def earlier() -> bool:
        """The beginning of what is there is looked at, whereupon what lies before it is fetched, and so on."""
        scroller.evaluate("list => { list.scrollTop = 0; }")
        return any(text.startswith("line 9") and int(text[5:]) < 960_000 for text in rows.all_inner_texts())

    wait_until(earlier)
    assert rows.count() < 120
    page.locator(".log input[type=search]").fill("line 998100")
    page.locator(".log mark", has_text="line 998100").wait_for()
    page.locator(".log input[type=search]").fill("line 500000")
    page.locator(".log button", has_text="look in").click()
    page.locator(".log mark", has_text="line 500000").wait_for()
    assert rows.count() < 120


def test_the_page_follows_on_one_connection(page: Page, server: Server) -> None:
    folder = begin(server, "single", {"a": gate(before="echo one"), "b": gate(before="echo two")})
    streams = open_streams(page)
    open_run(page, server, "single@1")
    for name in "ab":
        node(page, name).click()
        page.locator(".log .line").wait_for()
    wait_until(lambda: page.evaluate("1") and len(streams) == 1)
    (folder / "gate").touch()
    node(page, "b", "completed").wait_for()


def test_where_a_proxy_holds_streams_back_the_page_asks_again_and_again(page: Page, server: Server) -> None:
    folder = begin(server, "held", {"one": gate(before="echo begun"), "two": {"command": "true", "needs": ["one"]}})
    page.route(lambda url: "/stream?" in url and "poll=" not in url, lambda _route: None)
    open_run(page, server, "held@1/one")
    node(page, "one", "running").wait_for()
    page.locator(".log .line", has_text="begun").wait_for()
    (folder / "gate").touch()
    node(page, "two", "completed").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_states_can_be_told_from_the_paper_in_both_themes(page: Page, server: Server, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{server.url}wattle")
    page.locator(".top").wait_for()
    ratios = page.evaluate("""() => {
        const root = document.querySelector('#wattle').shadowRoot.querySelector('.wattle');
        const probe = root.appendChild(document.createElement('i'));
        const light = name => {
            probe.style.color = `var(--${name})`;
            const parts = getComputedStyle(probe).color.match(/[\\d.]+/g).slice(0, 3).map(part => part / 255);
            const [r, g, b] = parts.map(part => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const against = (one, other) => (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
        const names = ['ink', 'dim', 'accent', 'completed', 'running', 'failed', 'cancelled', 'created'];
        return Object.fromEntries(names.map(name => [name, against(light(name), light('paper'))]));
    }""")
    assert {name: ratio for name, ratio in ratios.items() if ratio < 4.5} == {}


def test_a_workflow_is_written_in_the_form_checked_as_one_types_saved_and_run(page: Page, server: Server) -> None:
    page.goto(f"{server.url}wattle#?new")
    page.locator("input[name=workflow]").fill("written")
    first = page.locator('[data-worker="first"]')
    first.get_by_label("What it runs").fill("date | wc > out")
    first.locator(".problems", has_text="no shell runs it").wait_for()
    assert page.locator("header.head button", has_text="Save and run").is_disabled()
    first.locator("select").first.select_option("script")
    first.get_by_label("What it runs").fill("echo hello > $WATTLE_OUTPUT_TEXT")
    first.locator("button", has_text="+ output").click()
    first.locator('[aria-label="Output"]').fill("text.txt")
    page.locator("button", has_text="+ Worker").click()
    second = page.locator('[data-worker="step2"]')
    second.get_by_label("What it runs").fill("cat ${inputs.text}")
    second.locator("button", has_text="+ input").click()
    second.locator('[aria-label="Where it comes from"]').fill("first/text")
    first.locator(".strong").fill("say")
    page.locator(".edge").wait_for(state="attached")
    page.locator("header.head .word", has_text="valid").wait_for()
    page.locator("button", has_text="As a cell").click()
    heading, _, text = page.locator(".cell pre").inner_text().partition("\n")
    assert heading == "%%wattle workflow written"
    checked = server.ask("POST", "/api/wattle/validate", {"text": f"name: written\n{text}"}).json
    assert (checked["valid"], checked["workers"]) == (True, 2)
    page.locator("button", has_text="Save and run").click()
    node(page, "step2", "completed").wait_for()
    node(page, "step2").click()
    page.locator(".log .line", has_text="hello").wait_for()
    page.locator(".crumbs a", has_text="edit").click()
    assert page.locator('[data-worker="step2"] [aria-label="Where it comes from"]').input_value() == "say/text"
    page.locator("header.head .word", has_text="valid").wait_for()
