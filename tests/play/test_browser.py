"""The playground in Chromium: drag, keys, NUTS, tables, phone, dark. POSTERITY_SCREENSHOTS names a folder for them."""

import re
from pathlib import Path

import pytest

from posterity.play.modes import MODES

pytestmark = pytest.mark.slow
EXAMPLES = Path(__file__).parents[2] / "examples"


def shoot(page, pictures, name):
    if pictures is not None:
        page.screenshot(path=pictures / f"{name}.png", full_page=True)


def middle_of_point(page, number):
    box = page.locator("#plot .point").nth(number).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(page, number, across, up):
    x, y = middle_of_point(page, number)
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(1, 11):
        page.mouse.move(x + across * step / 10, y - up * step / 10)
        page.wait_for_timeout(60)
    page.mouse.up()


def slope(page):
    return page.locator("#latents tr", has_text="slope").locator("td").first.inner_text()


def band(page):
    return page.locator("#plot .posterior .band").get_attribute("points")


def test_the_posterior_moves_with_a_point(page, pictures):
    before, numbers = band(page), slope(page)
    drag(page, 9, 0, -200)
    page.locator("#drawn", has_text=re.compile(r"\d+ ms")).wait_for()
    page.wait_for_timeout(500)
    assert band(page) != before and slope(page) != numbers
    each = [float(ms) for ms in page.locator("#drawn").get_attribute("data-all").split()]
    assert len(each) >= 3 and all(ms > 0 for ms in each)
    shoot(page, pictures, "line")


def test_points_are_added_deleted_and_brought_back(page):
    points = page.locator("#plot .point")
    box = page.locator("#plot").bounding_box()
    page.mouse.click(box["x"] + 150, box["y"] + 60)
    assert points.count() == 11
    drag(page, 10, -400, 0)  # off the picture
    assert points.count() == 10
    page.mouse.dblclick(*middle_of_point(page, 0))
    assert points.count() == 9
    page.click("#undo")
    assert points.count() == 10
    page.click("#add")
    page.click("#remove")
    assert points.count() == 10
    for _ in range(9):
        page.locator("#plot").press("p")
        page.locator("#plot").press("Delete")
    page.locator("#reasons", has_text="at least 2 are needed").wait_for()
    page.click("#reset")
    page.wait_for_selector(".verdict.corrected")
    assert points.count() == 10


def test_everything_can_be_done_by_keys(page):
    page.locator("#plot").focus()
    page.keyboard.press("n")
    page.locator("#live", has_text="Point 1 of 10: x \N{MINUS SIGN}2.40, y \N{MINUS SIGN}1.50.").wait_for(
        state="attached"
    )
    page.keyboard.press("Shift+ArrowUp")
    page.keyboard.press("ArrowRight")
    page.locator("#live", has_text="x \N{MINUS SIGN}2.30, y \N{MINUS SIGN}1.00. Posterior corrected").wait_for(
        state="attached"
    )
    page.keyboard.press("a")
    assert page.locator("#plot .point").count() == 11
    page.keyboard.press("Delete")
    page.keyboard.press("u")
    assert page.locator("#plot .point").count() == 11
    assert "11 points" in page.locator("#plot").get_attribute("aria-label")
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.id") == "add"
    slider = page.get_by_label("usual size of the noise")
    assert slider.get_attribute("type") == "range"
    page.locator("#live", has_text="11 points: x").or_(page.locator("#live", has_text="of 11")).wait_for(
        state="attached"
    )
    before = page.locator("#latents tr", has_text="sigma").inner_text()
    for _ in range(5):
        slider.press("PageDown")
    page.locator("#latents tr", has_text="sigma").and_(page.locator("tr", has_not_text=before)).wait_for()
    page.wait_for_selector(".verdict.corrected")


def test_everything_has_a_name(page):
    nameless = """() => [...document.querySelectorAll("button, input, select, [role]")]
        .filter((one) => !(one.textContent.trim() || one.getAttribute("aria-label") || one.labels?.length
            || one.getAttribute("role") === "status" || one.getAttribute("role") === "alert"))
        .map((one) => one.outerHTML)"""
    assert page.evaluate(nameless) == []


def test_nuts_stands_beside_it(page, pictures):
    page.click("#nuts")
    page.locator(
        "#nuts-said", has_text=re.compile(r"NUTS [\d.]+ m?s with its compilation; Posterity .+ now")
    ).wait_for()
    assert page.locator("#plot .nuts .line").count() == 1
    ours, theirs = (page.locator("#latents tr").nth(1).locator("td").nth(n).inner_text() for n in (0, 3))
    assert abs(float(ours) - float(theirs)) < 0.05
    shoot(page, pictures, "nuts")
    drag(page, 0, 20, 0)
    assert page.locator("#plot .nuts .line").count() == 0  # it was of other points


def test_a_table_of_ones_own(page, pictures, tmp_path):
    page.set_input_files("#file", EXAMPLES / "stores.csv")
    page.locator("#table-said", has_text="480 rows read, 256 of them shown").wait_for()
    page.locator("#roles select[data-role=x]").select_option("price")
    page.locator("#roles select[data-role=y]").select_option("sales")
    page.locator("#plot .axes", has_text="sales").wait_for()
    page.locator("#latents tr", has_text="slope\N{MINUS SIGN}").wait_for()
    shoot(page, pictures, "table")
    broken = tmp_path / "broken.csv"
    broken.write_text("a,b\n1,2\n3\n")
    page.set_input_files("#file", broken)
    page.locator("#table-said.bad", has_text="broken.csv: line 3 has 1 cell; expected 2").wait_for()
    assert page.locator("#plot .point").count() == 256  # what was there stays
    shoot(page, pictures, "broken")


@pytest.mark.parametrize("look", ["wide", "phone", "dark"])
def test_every_mode_fits_its_window(browser, server, pictures, look):
    settings = {
        "wide": {"viewport": {"width": 1200, "height": 1000}},
        "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
        "dark": {"viewport": {"width": 1200, "height": 1000}, "color_scheme": "dark"},
    }[look]
    context = browser.new_context(**settings)
    context.set_default_timeout(120_000)
    page = context.new_page()
    page.goto(server.url)
    for key in MODES:
        page.click(f"#modes button[data-key={key}]")
        page.wait_for_selector(".verdict.corrected")
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
        assert page.evaluate(
            "() => [...document.querySelectorAll('.wide')].every((a) => a.scrollWidth <= a.clientWidth)"
        )
        shoot(page, pictures, f"{look}-{key}")
    if look == "phone":
        page.touchscreen.tap(*middle_of_point(page, 2))
        assert page.locator("#plot .ring").count() == 1
        page.click("#remove")
        assert page.locator("#plot .point").count() == MODES[key].start.x.size - 1
    context.close()
