-- Gives the roles of roles.sql their passwords, from the environment of whoever runs this with psql.
-- `ALTER ROLE` keeps a SCRAM verifier; with log_statement = none the words themselves are in no log.
\set ON_ERROR_STOP on
\getenv intake INTAKE_PASSWORD
\getenv consent CONSENT_PASSWORD
\getenv referral REFERRAL_PASSWORD
\getenv reporting REPORTING_PASSWORD
ALTER ROLE fireweed_intake PASSWORD :'intake';
ALTER ROLE fireweed_consent PASSWORD :'consent';
ALTER ROLE fireweed_referral PASSWORD :'referral';
ALTER ROLE fireweed_reporting PASSWORD :'reporting';
