"""Security configurations, resource policies, encryption settings, the catalog itself, data quality rulesets."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from millpond.local.glue.rulesets import count_rules
from millpond.local.service import AwsError

Glue = Callable[..., dict[str, Any]]
Refused = Callable[..., str]
KEY = "arn:aws:kms:us-east-1:000000000000:key/k"
STATEMENT = {"Effect": "Allow", "Principal": "*", "Action": "glue:*", "Resource": "*"}
POLICY = json.dumps({"Version": "2012-10-17", "Statement": [STATEMENT]})
OTHER = json.dumps({"Version": "2012-10-17", "Statement": {**STATEMENT, "Effect": "Deny"}})


def test_security_configurations(glue: Glue, refused: Refused) -> None:
    given = {"S3Encryption": [{"S3EncryptionMode": "SSE-KMS", "KmsKeyArn": KEY}]}
    made = glue("CreateSecurityConfiguration", Name="safe", EncryptionConfiguration=given)
    assert made["Name"] == "safe" and made["CreatedTimestamp"] > 0
    shown = glue("GetSecurityConfiguration", Name="safe")["SecurityConfiguration"]
    assert shown == {"Name": "safe", "CreatedTimeStamp": made["CreatedTimestamp"], "EncryptionConfiguration": given}
    create = "CreateSecurityConfiguration"
    assert refused(create, Name="safe", EncryptionConfiguration=given) == "AlreadyExistsException"
    keyless = {"CloudWatchEncryption": {"CloudWatchEncryptionMode": "SSE-KMS"}}
    assert refused(create, Name="b", EncryptionConfiguration=keyless) == "InvalidInputException"
    wrong = {"S3Encryption": [{"S3EncryptionMode": "ROT13"}]}
    assert refused(create, Name="b", EncryptionConfiguration=wrong) == "ValidationException"
    glue(create, Name="also", EncryptionConfiguration={})
    first = glue("GetSecurityConfigurations", MaxResults=1)
    rest = glue("GetSecurityConfigurations", NextToken=first["NextToken"])
    assert [c["Name"] for c in first["SecurityConfigurations"] + rest["SecurityConfigurations"]] == ["also", "safe"]
    glue("DeleteSecurityConfiguration", Name="safe")
    assert refused("DeleteSecurityConfiguration", Name="safe") == "EntityNotFoundException"
    assert refused("GetSecurityConfiguration", Name="safe") == "EntityNotFoundException"


def test_resource_policies(glue: Glue, refused: Refused) -> None:
    assert refused("GetResourcePolicy") == "EntityNotFoundException"
    failed = "ConditionCheckFailureException"
    assert refused("PutResourcePolicy", PolicyInJson=POLICY, PolicyExistsCondition="MUST_EXIST") == failed
    first = glue("PutResourcePolicy", PolicyInJson=POLICY)["PolicyHash"]
    assert refused("PutResourcePolicy", PolicyInJson=OTHER, PolicyExistsCondition="NOT_EXIST") == failed
    assert refused("PutResourcePolicy", PolicyInJson=OTHER, PolicyHashCondition="x") == failed
    second = glue("PutResourcePolicy", PolicyInJson=OTHER, PolicyHashCondition=first)["PolicyHash"]
    shown = glue("GetResourcePolicy")
    assert (shown["PolicyInJson"], shown["PolicyHash"]) == (OTHER, second) and first != second
    arn = "arn:aws:glue:us-east-1:000000000000:database/x"
    glue("PutResourcePolicy", PolicyInJson=POLICY, ResourceArn=arn)
    assert len(glue("GetResourcePolicies")["GetResourcePoliciesResponseList"]) == 2
    assert refused("DeleteResourcePolicy", PolicyHashCondition=first) == failed
    glue("DeleteResourcePolicy", PolicyHashCondition=second)
    assert refused("DeleteResourcePolicy") == "EntityNotFoundException"
    for wrong in ("{}", "[]", "nonsense", '{"Statement": [{}]}', "[" * 3000):
        assert refused("PutResourcePolicy", PolicyInJson=wrong) == "InvalidInputException"


def test_encryption_settings(glue: Glue, refused: Refused) -> None:
    shown = glue("GetDataCatalogEncryptionSettings")["DataCatalogEncryptionSettings"]
    assert shown["EncryptionAtRest"] == {"CatalogEncryptionMode": "DISABLED"}
    given = {"EncryptionAtRest": {"CatalogEncryptionMode": "SSE-KMS", "SseAwsKmsKeyId": KEY}}
    glue("PutDataCatalogEncryptionSettings", DataCatalogEncryptionSettings=given)
    shown = glue("GetDataCatalogEncryptionSettings")["DataCatalogEncryptionSettings"]
    assert shown == {**given, "ConnectionPasswordEncryption": {"ReturnConnectionPasswordEncrypted": False}}
    asked = {"ConnectionPasswordEncryption": {"ReturnConnectionPasswordEncrypted": True}}
    assert refused("PutDataCatalogEncryptionSettings", DataCatalogEncryptionSettings=asked) == "InvalidInputException"


def test_there_is_one_catalog(glue: Glue, refused: Refused) -> None:
    assert glue("GetCatalog", CatalogId="000000000000")["Catalog"]["CatalogId"] == "000000000000"
    assert refused("GetCatalog", CatalogId="other") == "EntityNotFoundException"
    assert glue("GetCatalogs")["CatalogList"] == []
    assert len(glue("GetCatalogs", IncludeRoot=True)["CatalogList"]) == 1


def test_rulesets(glue: Glue, refused: Refused) -> None:
    rules = 'Rules = [ IsComplete "id", ColumnValues "a" in [ "x", "y" ] ]'
    target = {"DatabaseName": "d", "TableName": "t"}
    glue("CreateDataQualityRuleset", Name="one", Ruleset=rules, TargetTable=target, Tags={"team": "a"})
    glue("CreateDataQualityRuleset", Name="two", Ruleset="Rules = [ RowCount > 1 ]", ClientToken="again")
    glue("CreateDataQualityRuleset", Name="two", Ruleset="Rules = [ RowCount > 1 ]", ClientToken="again")
    assert refused("CreateDataQualityRuleset", Name="two", Ruleset=rules) == "AlreadyExistsException"
    assert refused("CreateDataQualityRuleset", Name="three", Ruleset="Rules = [") == "InvalidInputException"
    listed = glue("ListDataQualityRulesets")["Rulesets"]
    assert [(one["Name"], one["RuleCount"]) for one in listed] == [("one", 2), ("two", 1)]
    for chosen in ({"Filter": {"TargetTable": target}}, {"Tags": {"team": "a"}}, {"Filter": {"Name": "one"}}):
        assert [one["Name"] for one in glue("ListDataQualityRulesets", **chosen)["Rulesets"]] == ["one"]
    changed = glue("UpdateDataQualityRuleset", Name="two", Description="new")
    assert (changed["Description"], changed["Ruleset"]) == ("new", "Rules = [ RowCount > 1 ]")
    assert glue("GetTags", ResourceArn="arn:aws:glue:us-east-1:000000000000:dataQualityRuleset/one")["Tags"]
    glue("DeleteDataQualityRuleset", Name="one")
    assert refused("GetDataQualityRuleset", Name="one") == "EntityNotFoundException"


@pytest.mark.parametrize(
    "text, rules",
    [
        ("Rules = [ RowCount > 1 ]", 1),
        ("rules=[RowCount > 1,]", 1),
        ('# a comment ]\nRules = [\n  IsComplete "a,b",\n  (RowCount > 1) and (IsUnique "c")\n]', 2),
        ('Rules = [ CustomSql "select \\"x\\" from y" between 1 and 2 ] Analyzers = [ RowCount, Mean "a" ]', 1),
    ],
)
def test_rules_are_counted(text: str, rules: int) -> None:
    assert count_rules(text) == rules


@pytest.mark.parametrize(
    "text", ["", "Rules = []", "Rules = [ RowCount > 1", "[ RowCount > 1 ]", 'Rules = [ A "b ]', "Rules = [ ) ]"]
)
def test_rules_that_are_none(text: str) -> None:
    with pytest.raises(AwsError, match="Invalid DQDL"):
        count_rules(text)


def test_reserved_tags(glue: Glue, refused: Refused) -> None:
    glue("CreateDatabase", DatabaseInput={"Name": "d"})
    arn = "arn:aws:glue:us-east-1:000000000000:database/d"
    assert refused("TagResource", ResourceArn=arn, TagsToAdd={"aws:x": "1"}) == "InvalidInputException"
    glue("TagResource", ResourceArn=arn.upper().replace("ARN:AWS:GLUE:US-EAST-1", "arn:aws:glue:us-east-1")
         .replace("DATABASE", "database"), TagsToAdd={"x": "1"})  # fmt: skip
    assert glue("GetTags", ResourceArn=arn)["Tags"] == {"x": "1"}
    many = {f"k{n}": "v" for n in range(51)}
    assert refused("CreateDatabase", DatabaseInput={"Name": "e"}, Tags=many) == "InvalidInputException"
    assert refused("GetDatabase", Name="e") == "EntityNotFoundException"
