//! The wording of the notice, in Chinese and English.
//!
//! Invariant: both languages say the same; a key of the manifest without words shows as itself, which
//! a test forbids.

use mingjing_proto::pb::Category;

/// One language.
#[derive(Debug)]
pub(super) struct Words {
    pub(super) language: &'static str,
    pub(super) contact: &'static str,
    pub(super) privacy_contact: &'static str,
    pub(super) methods: &'static str,
    pub(super) apps: &'static str,
    pub(super) account: &'static str,
    pub(super) permission: &'static str,
    pub(super) held: &'static str,
    pub(super) not_held: &'static str,
    pub(super) read_only: &'static str,
    pub(super) never: &'static str,
    pub(super) phone_buffer: &'static str,
    pub(super) stored_where: &'static str,
    pub(super) rules: &'static str,
    pub(super) rights: &'static str,
    pub(super) refusal: &'static str,
    pub(super) limits: &'static str,
    pub(super) no_hours: &'static str,
    pub(super) outside_hours: &'static str,
    pub(super) now: &'static str,
    pub(super) terms_changed: &'static str,
    pub(super) comma: &'static str,
    pub(super) colon: &'static str,
    pub(super) weekdays: [&'static str; 7],
    titles: [(&'static str, &'static str); 14],
    keys: &'static [(&'static str, &'static str)],
    categories: [(Category, &'static str, &'static str); 8],
    sensitive: [(Category, &'static str); 2],
    states: &'static [(&'static str, &'static str)],
    seal_modes: [(&'static str, &'static str); 3],
    chinese: bool,
}

/// `zh-CN` for any Chinese, otherwise English.
pub(super) fn of(language: &str) -> &'static Words {
    if language.starts_with("zh") { &ZH } else { &EN }
}

fn find<'a>(list: &'a [(&str, &'a str)], key: &'a str) -> &'a str {
    list.iter()
        .find(|(name, _)| *name == key)
        .map_or(key, |(_, text)| text)
}

impl Words {
    pub(super) fn title(&self, id: &'static str) -> &'static str {
        self.titles
            .iter()
            .find(|(name, _)| *name == id)
            .map_or(id, |(_, text)| text)
    }

    pub(super) fn key<'a>(&'a self, key: &'a str) -> &'a str {
        find(self.keys, key)
    }

    pub(super) fn category(&self, category: Category) -> (&'static str, &'static str) {
        self.categories
            .iter()
            .find(|(it, _, _)| *it == category)
            .map_or(("", ""), |(_, title, example)| (title, example))
    }

    pub(super) fn sensitive(&self, category: Category) -> &'static str {
        self.sensitive
            .iter()
            .find(|(it, _)| *it == category)
            .map_or("", |(_, text)| text)
    }

    pub(super) fn state<'a>(&'a self, state: &'a str) -> &'a str {
        find(self.states, state)
    }

    pub(super) fn seal_mode(&self, mode: &str) -> &'static str {
        self.seal_modes
            .iter()
            .find(|(name, _)| *name == mode)
            .map_or("", |(_, text)| text)
    }

    pub(super) fn retention(&self, title: &str, unmatched: u32, matched: u32) -> String {
        if self.chinese {
            format!("{title}：未命中规则的内容保存 {unmatched} 天，命中的保存 {matched} 天")
        } else {
            format!("{title}: {unmatched} days if no rule matched, {matched} days if one did")
        }
    }

    pub(super) fn pause(&self, minutes: u32) -> String {
        if self.chinese {
            format!("您每天可以自行暂停采集，合计 {minutes} 分钟；暂停不算违规")
        } else {
            format!(
                "You may pause capture for {minutes} minutes a day; a pause is never a violation"
            )
        }
    }

    pub(super) fn version(&self, version: u32, date: &str) -> String {
        if self.chinese {
            format!("告知书第 {version} 版，发布于 {date}")
        } else {
            format!("Notice version {version}, published {date}")
        }
    }

    pub(super) fn policy_version(&self, version: u32) -> String {
        if self.chinese {
            format!("策略第 {version} 版")
        } else {
            format!("Policy version {version}")
        }
    }

    pub(super) fn changed(&self, title: &str, old: &str, new: &str) -> String {
        if self.chinese {
            format!("与上一版不同——{title}：原为「{old}」，现为「{new}」")
        } else {
            format!("Changed since the last version: {title}: was \"{old}\", is \"{new}\"")
        }
    }
}

static ZH: Words = Words {
    language: "zh-CN",
    contact: "联系方式：",
    privacy_contact: "个人信息保护联系人：",
    methods: "方式：",
    apps: "应用：",
    account: "工作账号：",
    permission: "权限：",
    held: "已开启",
    not_held: "未开启",
    read_only: "本应用只读取，不点击、不输入、不发送、不隐藏任何内容。",
    never: "从不采集：",
    phone_buffer: "手机上的缓存加密保存，最多 7 天或 64 MB；撤回同意时立即销毁。",
    stored_where: "存放地点：",
    rules: "系统自动按规则提示，规则命中只是一个疑问，不是结论：任何处理都由人决定。您能看到关于您的提示，可以说明情况并提出异议。",
    rights: "您有权查看、复制、更正、删除、要求解释、撤回同意和投诉。这些操作都在本应用的“我的数据”页面；撤回只需两步，无需网络，也无需任何人批准。",
    refusal: "拒绝或撤回不影响手机的正常使用，也不会因此受到处罚；可以只同意其中一部分类别。",
    limits: "已知局限：微信新版本可能不提供页面内容，关闭通知预览时看不到消息正文，飞行模式或关机时的操作看不到；看不到的部分会如实标为“缺口”。",
    no_hours: "尚未约定工作时间，因此不采集。",
    outside_hours: "约定时间以外（包括节假日、请假和午休）的内容在解析之前就被丢弃，不会延后采集。",
    now: "目前状态：",
    terms_changed: "与上一版不同——采集类别、保存期限或时间条款有变化，请重新确认。",
    comma: "、",
    colon: "：",
    weekdays: ["周一", "周二", "周三", "周四", "周五", "周六", "周日"],
    titles: [
        ("N1", "谁在采集"),
        ("N2", "目的"),
        ("N3", "怎样采集"),
        ("N4", "采集什么，从不采集什么"),
        ("N5", "保存多久，存在哪里"),
        ("N6", "谁能看到"),
        ("N7", "自动规则"),
        ("N8", "您的权利"),
        ("N9", "敏感信息"),
        ("N10", "时间"),
        ("N11", "如果您拒绝"),
        ("N12", "版本"),
        ("N13", "已知局限"),
        ("N16", "公司补充说明"),
    ],
    keys: &[
        ("com.tencent.mm", "微信"),
        ("com.tencent.wework", "企业微信"),
        ("notifications", "通知"),
        ("screen", "工作账号的屏幕文字"),
        ("contacts", "工作账号的联系人列表"),
        ("state", "设备状态"),
        ("listener", "通知使用权"),
        ("accessibility", "无障碍服务"),
        ("personal_account", "个人账号"),
        ("other_apps", "其他应用"),
        ("off_hours", "工作时间以外的内容"),
        ("moments", "朋友圈内容"),
        ("channels", "视频号"),
        ("mini_program_content", "小程序内容"),
        ("address_book", "手机通讯录"),
        ("sms", "短信"),
        ("call_log", "通话记录"),
        ("photos", "照片"),
        ("browser", "浏览记录"),
        ("clipboard", "剪贴板"),
        ("keyboard", "键盘输入"),
        ("microphone", "麦克风"),
        ("camera", "摄像头"),
        ("gps", "手机定位"),
        ("passwords", "密码"),
        ("screenshots", "屏幕截图"),
    ],
    categories: [
        (
            Category::Messages,
            "消息",
            "收发的工作消息，例如“报价单已发您邮箱”；撤回、删除、清空聊天、通话",
        ),
        (
            Category::Contacts,
            "联系人",
            "添加、申请、删除联系人，例如“你已添加了王经理”",
        ),
        (Category::Groups, "群", "建群、入群、退群、改名、成员变动"),
        (
            Category::Money,
            "收付款",
            "红包、转账、收款及金额，例如“转账 500.00 元”",
        ),
        (Category::Location, "位置", "您在聊天中主动分享位置这一事实"),
        (
            Category::Operations,
            "操作",
            "发送名片、打开扫一扫、电脑端登录、账号登录登出、打开朋友圈的次数（不含内容）",
        ),
        (Category::Usage, "使用时长", "工作应用在前台的分钟数"),
        (
            Category::Device,
            "采集状况",
            "权限、缺口等采集是否完整的信息，不含内容；仅在同意了其他类别时存在",
        ),
    ],
    sensitive: [
        (
            Category::Money,
            "收付款：用于核对公司款项；会记录金额与对方；可以单独关闭，不影响其他类别",
        ),
        (
            Category::Location,
            "位置：用于发现私下发送公司位置；只记录“分享了位置”，不读取手机定位；可以单独关闭",
        ),
    ],
    states: &[
        ("capturing", "正在采集"),
        ("no_notice", "未采集：尚未收到告知书"),
        ("no_consent", "未采集：您尚未同意"),
        ("notice_superseded", "未采集：有新的告知书等待您确认"),
        ("no_schedule", "未采集：尚未约定工作时间"),
        ("off_hours", "未采集：不在工作时间"),
        ("paused", "已暂停：由您自行暂停"),
        ("permission_missing", "已暂停：缺少权限"),
        ("off_account", "已暂停：未识别到工作账号"),
    ],
    seal_modes: [
        ("file", "内容加密保存；解密密钥存放在公司服务器的文件中。"),
        (
            "systemd",
            "内容加密保存；解密密钥由公司服务器的系统凭据保管。",
        ),
        (
            "custodians",
            "内容加密保存；服务器启动后须由两名保管人输入口令才能解密。",
        ),
    ],
    chinese: true,
};

static EN: Words = Words {
    language: "en",
    contact: "Contact: ",
    privacy_contact: "Privacy contact: ",
    methods: "Methods: ",
    apps: "Apps: ",
    account: "Work account: ",
    permission: "Permission: ",
    held: "on",
    not_held: "off",
    read_only: "This app only reads. It clicks, types, sends and hides nothing.",
    never: "Never collected: ",
    phone_buffer: "On the phone it is kept encrypted for at most 7 days or 64 MB, and destroyed at once when you withdraw.",
    stored_where: "Stored: ",
    rules: "Rules run automatically. A rule hit is a question, not a verdict: only people decide. You see findings about you, can answer them and object.",
    rights: "You may see, copy, correct, delete, ask for an explanation, withdraw and complain. All of it is on the page \"My data\" of this app; withdrawing takes two taps, no network and nobody's leave.",
    refusal: "Refusing or withdrawing does not restrict the phone and is not penalised; you may accept some categories only.",
    limits: "Known limits: newer WeChat versions may hide page content, message text is not seen while notification previews are off, and nothing is seen in flight mode or while the phone is off. What could not be seen is reported as a gap.",
    no_hours: "No working hours are agreed yet, so nothing is captured.",
    outside_hours: "Outside these hours, holidays, leave and lunch included, everything is dropped before it is read; nothing is captured later instead.",
    now: "Now: ",
    terms_changed: "Changed since the last version: categories, retention or hours. Please confirm again.",
    comma: ", ",
    colon: ": ",
    weekdays: ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"],
    titles: [
        ("N1", "Who collects"),
        ("N2", "Purposes"),
        ("N3", "How"),
        ("N4", "What is collected, and what never is"),
        ("N5", "How long it is kept, and where"),
        ("N6", "Who can see it"),
        ("N7", "Automatic rules"),
        ("N8", "Your rights"),
        ("N9", "Sensitive information"),
        ("N10", "Hours"),
        ("N11", "If you refuse"),
        ("N12", "Version"),
        ("N13", "Known limits"),
        ("N16", "From the company"),
    ],
    keys: &[
        ("com.tencent.mm", "WeChat"),
        ("com.tencent.wework", "WeCom"),
        ("notifications", "notification texts"),
        ("screen", "screen text of the work account"),
        ("contacts", "contact list of the work account"),
        ("state", "device states"),
        ("listener", "notification access"),
        ("accessibility", "accessibility service"),
        ("personal_account", "personal accounts"),
        ("other_apps", "other apps"),
        ("off_hours", "anything outside working hours"),
        ("moments", "Moments content"),
        ("channels", "Channels content"),
        ("mini_program_content", "mini programs"),
        ("address_book", "the phone's address book"),
        ("sms", "text messages (SMS)"),
        ("call_log", "the call log"),
        ("photos", "pictures"),
        ("browser", "browsing"),
        ("clipboard", "the clipboard"),
        ("keyboard", "keyboard input"),
        ("microphone", "sound"),
        ("camera", "camera pictures"),
        ("gps", "the phone's position"),
        ("passwords", "any password"),
        ("screenshots", "screen pictures"),
    ],
    categories: [
        (
            Category::Messages,
            "Messages",
            "work messages in and out, such as \"the quotation is in your mail\"; recalls, deletions, cleared chats, calls",
        ),
        (
            Category::Contacts,
            "Contacts",
            "contacts added, requested or deleted, such as \"You have added Manager Wang\"",
        ),
        (
            Category::Groups,
            "Groups",
            "groups created, joined, left or renamed, and changes of members",
        ),
        (
            Category::Money,
            "Money",
            "red packets, transfers and payments with amounts, such as \"transfer of 500.00 yuan\"",
        ),
        (
            Category::Location,
            "Location",
            "the fact that you shared a location in a chat",
        ),
        (
            Category::Operations,
            "Operations",
            "name cards sent, scanner opened, desktop login, account login and logout, how often Moments was opened (never what it shows)",
        ),
        (
            Category::Usage,
            "Usage",
            "minutes the work app was in front",
        ),
        (
            Category::Device,
            "Coverage",
            "whether capture is complete: permissions and gaps, no content; exists only while another category is granted",
        ),
    ],
    sensitive: [
        (
            Category::Money,
            "Money: needed to reconcile company payments; amounts and the other side are recorded; may be switched off by itself",
        ),
        (
            Category::Location,
            "Location: needed to notice company locations sent privately; only the fact of sharing is recorded, the phone's position is not read; may be switched off by itself",
        ),
    ],
    states: &[
        ("capturing", "capturing"),
        ("no_notice", "not capturing: no notice has arrived yet"),
        ("no_consent", "not capturing: you have not consented"),
        (
            "notice_superseded",
            "not capturing: a newer notice waits for you",
        ),
        ("no_schedule", "not capturing: no working hours are agreed"),
        ("off_hours", "not capturing: outside working hours"),
        ("paused", "paused by you"),
        ("permission_missing", "paused: a permission is missing"),
        ("off_account", "paused: the work account was not recognised"),
    ],
    seal_modes: [
        (
            "file",
            "Content is kept encrypted; the key lies in a file on the company's server.",
        ),
        (
            "systemd",
            "Content is kept encrypted; the key is a system credential of the company's server.",
        ),
        (
            "custodians",
            "Content is kept encrypted; after a start the server can decrypt only once two custodians have given their passphrases.",
        ),
    ],
    chinese: false,
};
