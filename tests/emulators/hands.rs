//! What people do to an account by hand, with plain SDK clients.

use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_iam::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_ssm::types::ParameterType;
use iam_user_controller::core::observed::Leftover;
use iam_user_controller::core::parameter_name::ParameterTemplate;
use iam_user_controller::core::user::UserName;

use crate::scenarios::Hands;

/// Emulators let no time pass between a change and its being seen. Those that came to keep the 30
/// seconds of SSM would show it as a difference that is no longer there.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

const INLINE_POLICY: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ses:SendRawEmail","Resource":"*"}]}"#;
const PASSWORD: &str = "Correct-Horse-7-Battery";
const PUBLIC_KEY: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC7 nobody@nowhere";
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nTUlJ\n-----END CERTIFICATE-----";

/// An administrator of the account that the environment's endpoints belong to.
pub(crate) struct AwsHands {
    users_table: String,
    policy: String,
    dynamodb: aws_sdk_dynamodb::Client,
    iam: aws_sdk_iam::Client,
    ssm: aws_sdk_ssm::Client,
}

impl AwsHands {
    pub(crate) async fn new(users_table: String, policy: String) -> Self {
        let config = aws_config::load_defaults(BehaviorVersion::v2026_01_12()).await;
        Self {
            users_table,
            policy,
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
            iam: aws_sdk_iam::Client::new(&config),
            ssm: aws_sdk_ssm::Client::new(&config),
        }
    }

    async fn enable_mfa_device(&self, user: &str, name: &str) -> Option<Leftover> {
        let made = self.iam.create_virtual_mfa_device().virtual_mfa_device_name(name).send().await;
        let serial = made_of(made)?.virtual_mfa_device.expect("a device").serial_number;
        // Emulators take any two codes for those that the device shows.
        let enabled = self.iam.enable_mfa_device().user_name(user).serial_number(&serial);
        let enabled = enabled.authentication_code1("123456").authentication_code2("654321").send().await;
        made_of(enabled).map(|_| Leftover::MfaDevice { serial })
    }

    async fn upload_ssh_public_key(&self, user: &str) -> Option<Leftover> {
        let request = self.iam.upload_ssh_public_key().user_name(user).ssh_public_key_body(PUBLIC_KEY);
        let key = made_of(request.send().await)?.ssh_public_key.expect("a key");
        Some(Leftover::SshPublicKey(key.ssh_public_key_id))
    }

    async fn upload_signing_certificate(&self, user: &str) -> Option<Leftover> {
        let request = self.iam.upload_signing_certificate().user_name(user).certificate_body(CERTIFICATE);
        let certificate = made_of(request.send().await)?.certificate.expect("a certificate");
        Some(Leftover::SigningCertificate(certificate.certificate_id))
    }

    async fn create_service_credential(&self, user: &str) -> Option<Leftover> {
        let request = self.iam.create_service_specific_credential().user_name(user);
        let made = made_of(request.service_name("codecommit.amazonaws.com").send().await)?;
        let credential = made.service_specific_credential.expect("a credential");
        Some(Leftover::ServiceCredential(credential.service_specific_credential_id))
    }

    async fn join_group(&self, user: &str, group: &str) -> Option<()> {
        made_of(self.iam.create_group().group_name(group).send().await)?;
        made_of(self.iam.add_user_to_group().group_name(group).user_name(user).send().await).map(drop)
    }
}

/// What an administrator asked for; `None` where the account has no such action.
fn made_of<T, E>(answer: Result<T, SdkError<E>>) -> Option<T>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match answer {
        Ok(made) => Some(made),
        Err(error) if error.code() == Some("InvalidAction") => None,
        Err(error) => panic!("{}", DisplayErrorContext(error)),
    }
}

impl Hands for AwsHands {
    fn policy(&self) -> String {
        self.policy.clone()
    }

    async fn put_row(&self, name: &str, note: &str) {
        let request = self.dynamodb.put_item().table_name(&self.users_table);
        let request = request.item("UserName", AttributeValue::S(name.to_owned()));
        request.item("Note", AttributeValue::S(note.to_owned())).send().await.expect("the row is put");
    }

    async fn remove_row(&self, name: &str) {
        let request = self.dynamodb.delete_item().table_name(&self.users_table);
        let request = request.key("UserName", AttributeValue::S(name.to_owned()));
        request.send().await.expect("the row is removed");
    }

    async fn add_leftover(&self, user: &UserName, leftover: Leftover) -> Option<Leftover> {
        let user = user.as_str();
        match &leftover {
            Leftover::LoginProfile => {
                made_of(self.iam.create_login_profile().user_name(user).password(PASSWORD).send().await)?;
            }
            Leftover::MfaDevice { serial } => return self.enable_mfa_device(user, serial).await,
            Leftover::SshPublicKey(_) => return self.upload_ssh_public_key(user).await,
            Leftover::SigningCertificate(_) => return self.upload_signing_certificate(user).await,
            Leftover::ServiceCredential(_) => return self.create_service_credential(user).await,
            Leftover::Group(group) => self.join_group(user, group).await?,
            Leftover::InlinePolicy(policy) => {
                let request = self.iam.put_user_policy().user_name(user).policy_name(policy);
                made_of(request.policy_document(INLINE_POLICY).send().await)?;
            }
            Leftover::AttachedPolicy(arn) => {
                made_of(self.iam.attach_user_policy().user_name(user).policy_arn(arn).send().await)?;
            }
        }
        Some(leftover)
    }

    async fn put_plain_parameter(&self, user: &UserName, text: &str) {
        let template = ParameterTemplate::parse("/iam_users/{UserName}_keys").expect("a valid template");
        let request = self.ssm.put_parameter().name(template.name_for(user).as_str()).value(text);
        request.r#type(ParameterType::String).send().await.expect("a parameter");
    }

    async fn wait(&self, time: Duration) {
        tokio::time::sleep(time.min(LONGEST_WAIT)).await;
    }
}
