from __future__ import annotations

from checks.model import Outcome
from tests.checks.altered import of_flavour, with_setting
from tests.checks.survey import conclude, names, survey
from tests.servers import Database

CHECK = "observability.log-files"


def test_a_log_that_never_ends_or_that_everybody_reads(database: Database) -> None:
    plain = survey(database)
    assert conclude(plain, CHECK).outcome is Outcome.NOT_APPLICABLE
    own = with_setting(plain, "logging_collector", "on")
    assert conclude(own, CHECK).outcome is Outcome.PASSED

    endless = with_setting(with_setting(own, "log_rotation_age", "0"), "log_rotation_size", "0")
    assert names(conclude(endless, CHECK)) == {"log_rotation_age"}
    assert conclude(with_setting(own, "log_rotation_size", "0"), CHECK).outcome is Outcome.PASSED
    assert names(conclude(with_setting(own, "log_file_mode", "0644"), CHECK)) == {"log_file_mode"}
    assert conclude(with_setting(own, "log_file_mode", "0640"), CHECK).outcome is Outcome.PASSED
    assert conclude(with_setting(own, "log_file_mode", "nonsense"), CHECK).outcome is Outcome.PASSED
    assert conclude(of_flavour(endless, "rds"), CHECK).outcome is Outcome.NOT_APPLICABLE
