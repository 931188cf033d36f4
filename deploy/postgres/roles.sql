-- One role and one database for each service: none can read another's. Run as a superuser, once.
-- Passwords are set by the operator (ALTER ROLE ... PASSWORD), never written here.
CREATE ROLE fireweed_intake LOGIN;
CREATE ROLE fireweed_consent LOGIN;
CREATE ROLE fireweed_referral LOGIN;
CREATE ROLE fireweed_reporting LOGIN;

CREATE DATABASE fireweed_intake OWNER fireweed_intake;
CREATE DATABASE fireweed_consent OWNER fireweed_consent;
CREATE DATABASE fireweed_referral OWNER fireweed_referral;
CREATE DATABASE fireweed_reporting OWNER fireweed_reporting;

REVOKE CONNECT ON DATABASE fireweed_intake, fireweed_consent, fireweed_referral, fireweed_reporting FROM PUBLIC;
